//! What works, what the broker knows of it, and what is left.

use proptest::prelude::*;

use super::*;

const DOLLAR: i128 = NANO;

fn open(left: i128, worth: i128) -> Open {
    let (left, worth) = (left * NANO, Some(worth * DOLLAR));
    Open { left, worth, filled: 0, size: Ok(1), closed: false, accepted: false }
}

fn room(equity: i128) -> Room {
    let mut room = Room::default();
    let equity = equity * ATTO;
    room.own(0, Some(Own { equity, cash: equity, burden: Some(0), secured: 0, lends: true }));
    room
}

fn told(buying_power: i128) -> Figures {
    Figures { buying_power: Figure::Is(buying_power * ATTO), ..Figures::default() }
}

#[test]
fn half_of_what_is_lent_on_is_not_taken_of_what_options_are_bought_with() {
    let mut room = room(10_000);
    room.enter("a", Entry { lent: true, ..Entry::new(0, 0, 0) });
    room.note("a", &open(10, 100), 1).unwrap();
    let own = |purse| room.power(0, purse).unwrap().unwrap().own / ATTO;
    assert_eq!((own(Purse::RegT), own(Purse::Options), own(Purse::Cash)), (19_000, 9_500, 9_000));
}

#[test]
fn what_the_broker_can_not_know_yet_is_missing_until_a_later_report() {
    let mut room = room(10_000);
    room.report(0, told(20_000), 10);
    room.enter("a", Entry::new(0, 0, 0));
    room.note("a", &open(10, 100), 20).unwrap();
    room.note("a", &Open { accepted: true, ..open(10, 100) }, 30).unwrap();
    assert_eq!(room.power(0, Purse::RegT).unwrap().unwrap().broker, Some(19_000 * ATTO));
    room.report(0, told(19_000), 40); // asked for before the order was known, perhaps
    assert_eq!(room.missing(0), 1_000 * ATTO);
    room.report(0, told(19_000), 50);
    assert_eq!(room.missing(0), 0);
    room.note("a", &Open { accepted: true, ..open(12, 100) }, 60).unwrap();
    assert_eq!(room.missing(0), 200 * ATTO, "a modification adds to what it knows");
}

#[test]
fn an_order_that_costs_something_else_as_a_whole_holds_that() {
    let mut room = room(10_000);
    let whole = |amount: i128| Whole { amount: amount * ATTO, units: 10 * NANO };
    room.recost("a", whole(5)); // nothing of it is known
    room.enter("a", Entry { whole: Some(whole(0)), ..Entry::new(0, 0, 0) });
    room.recost("a", whole(7)); // nor how much of it is open
    assert_eq!(room.reserved(0), 0);
    room.note("a", &open(10, 100), 1).unwrap();
    for amount in [9, 3, i128::MAX / ATTO] {
        room.recost("a", whole(amount));
        assert_eq!(room.reserved(0), amount * ATTO);
    }
    room.enter("b", Entry { whole: Some(whole(0)), ..Entry::new(0, 0, 0) });
    room.note("b", &open(10, 100), 1).unwrap();
    room.recost("b", whole(9)); // more than can be added up
    assert_eq!(room.reserved(0), i128::MAX / ATTO * ATTO);
    room.note("a", &Open { closed: true, ..open(0, 100) }, 2).unwrap();
    assert_eq!(room.reserved(0), 0);
}

#[test]
fn an_order_that_is_entered_again_gives_back_what_it_cost() {
    let mut room = room(10_000);
    room.report(0, told(20_000), 1);
    for _ in 0..2 {
        room.enter("a", Entry { lent: true, ..Entry::new(0, 0, 0) });
        room.note("a", &open(10, 100), 2).unwrap();
    }
    assert_eq!((room.reserved(0), room.missing(0)), (1_000 * ATTO, 1_000 * ATTO));
    assert_eq!(room.power(0, Purse::RegT).unwrap().unwrap().own, 19_000 * ATTO);
}

#[test]
fn a_modification_counts_for_the_dearer_until_it_is_settled() {
    let mut room = room(10_000);
    let dear = Whole { amount: 900 * ATTO, units: 10 * NANO };
    let cheap = Whole { amount: 100 * ATTO, units: 10 * NANO };
    room.enter("a", Entry::new(0, 0, 200 * DOLLAR));
    room.enter("b", Entry { whole: Some(cheap), ..Entry::new(0, 0, 0) });
    let mut reserved = |change: &dyn Fn(&mut Room)| {
        change(&mut room);
        room.note("a", &open(1, 50), 1).unwrap();
        room.note("b", &open(10, 0), 1).unwrap();
        room.reserved(0) / ATTO
    };
    assert_eq!(reserved(&|_| ()), 300);
    assert_eq!(reserved(&|room| room.expect("a", 100 * DOLLAR, None, 0).unwrap()), 300);
    assert_eq!(reserved(&|room| room.expect("b", 0, Some(dear), 0).unwrap()), 1_100);
    assert_eq!(reserved(&|room| room.expect("b", 0, Some(cheap), 0).unwrap()), 1_100);
    assert_eq!(reserved(&|room| room.settle("a", 100 * DOLLAR, None)), 1_000);
    assert_eq!(reserved(&|room| room.settle("b", 0, None)), 1_000);
    assert_eq!(reserved(&|room| room.settle("b", 0, Some(cheap))), 200);
    room.settle("unknown", 0, None);
}

#[test]
fn figures_that_do_not_fit_are_an_error() {
    let mut room = room(10_000);
    let (equity, burden) = (i128::MAX / 4, Some(i128::MIN));
    room.own(0, Some(Own { equity, cash: 0, burden, secured: 0, lends: true }));
    let overflow = Err(Wrong::Exposure(crate::exposure::Wrong::Overflow));
    assert_eq!(room.power(0, Purse::Cash), overflow);
    room.own(0, Some(Own { equity: 0, cash: i128::MIN, burden: Some(0), secured: 0, lends: true }));
    room.enter("a", Entry::new(0, 0, 0));
    room.note("a", &open(1, 1), 1).unwrap();
    assert_eq!(room.power(0, Purse::Cash), overflow);
    room.own(0, Some(Own { equity: 0, cash: 0, burden: Some(0), secured: 0, lends: true }));
    room.report(0, Figures { cash: Figure::Is(i128::MIN), ..Figures::default() }, 2);
    room.note("a", &open(2, 1), 3).unwrap();
    assert_eq!(room.power(0, Purse::Cash), overflow);
}

#[test]
fn a_figure_that_is_no_number_holds_back_only_what_needs_it() {
    let mut room = room(10_000);
    room.report(0, Figures { options: Figure::Unreadable, ..told(1) }, 1);
    assert_eq!(room.power(0, Purse::Options), Err(Wrong::Unreadable));
    assert!(room.power(0, Purse::RegT).is_ok());
    room.own(0, Some(Own { equity: 1, cash: 1, burden: None, secured: 0, lends: true }));
    assert_eq!(room.power(0, Purse::RegT), Err(Wrong::Burden));
    room.own(0, None);
    assert_eq!(room.power(0, Purse::RegT), Ok(None));
}

proptest! {
    #[test]
    fn what_is_reserved_is_what_the_entries_cost(
        steps in prop::collection::vec((0..4_usize, 0..20_i128, 1..9_i128, any::<bool>()), 1..60),
    ) {
        let mut room = room(10_000);
        room.report(0, told(20_000), 1);
        let mut costs = [None; 4];
        for (now, (which, left, worth, closed)) in steps.into_iter().enumerate() {
            let name = ["a", "b", "c", "d"][which];
            if costs[which].is_none() {
                room.enter(name, Entry { lent: which % 2 == 0, ..Entry::new(0, 3 * NANO, 4 * DOLLAR) });
            }
            room.note(name, &Open { closed, ..open(left, worth) }, 2 + now as i64).unwrap();
            costs[which] = (!closed).then(|| (left - 3).max(0) * worth.max(4));
            let total: i128 = costs.iter().flatten().sum();
            let lent: i128 = costs.iter().step_by(2).flatten().sum();
            prop_assert_eq!(room.reserved(0), total * ATTO);
            prop_assert_eq!(room.accounts[&0].halved, lent * ATTO);
            let unseen: i128 = room.accounts[&0].unseen.values().map(|(amount, _)| amount).sum();
            prop_assert_eq!(room.missing(0), unseen);
        }
    }

    #[test]
    fn a_whole_order_costs_its_share_rounded_up(amount in 0..10_i128.pow(12), units in 1..1000_i128, left in 0..1000_i128) {
        let entry = Entry { whole: Some(Whole { amount, units }), ..Entry::new(0, 0, 0) };
        let open = Open { left, ..open(0, 0) };
        prop_assert_eq!(entry.cost(&open).unwrap(), (amount * left + units - 1) / units);
        let power = Power { own: 0, broker: None, whole: amount };
        prop_assert_eq!(power.kept(left).unwrap(), (amount * left + NANO - 1) / NANO);
    }
}
