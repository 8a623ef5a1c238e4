//! Each bound, at it and a unit past it; what is taken; what is asked of margin.

use proptest::prelude::*;

use super::quote::{Collar, HeldTo, Off};
use super::room::{Figure, Figures, Own};
use super::*;
use crate::exposure::{Breach, Resting};
use crate::margin::NANO;
use crate::rate::Limit;

const DOLLAR: i128 = NANO;

fn order(id: &str, units: i128, price: i128) -> Order {
    let (units, price) = (units * NANO, Some(price * DOLLAR));
    Order {
        id: id.into(),
        instrument: 0,
        buy: true,
        kind: 2,
        held_to: HeldTo::Limit,
        asked: units,
        money: false,
        units: Some(units),
        left: units,
        released: units,
        filled: 0,
        cost: price,
        least: 0,
        worth: price,
        limit: price,
        trigger: None,
        trail: None,
        mark: Some(100 * DOLLAR),
        group: None,
        plain: true,
        exempt: false,
        exit: false,
        legs: Box::default(),
        purse: Some(Purse::RegT),
        change: false,
    }
}

fn sale(id: &str, units: i128, price: i128) -> Order {
    Order { buy: false, ..order(id, units, price) }
}

/// One instrument at 100, and 10,000 dollars on a margin account.
fn desk() -> Desk {
    let mut desk = Desk { margin: true, ..Desk::default() };
    desk.book.declare(0, Some(1), false);
    let (bid, ask) = (Some(99 * DOLLAR), Some(101 * DOLLAR));
    desk.quote(0, Quote { bid, ask, ts: 0, newest: 0, worth: None });
    let equity = 10_000 * ATTO;
    desk.room.own(0, Some(Own { equity, cash: equity, burden: Some(0), secured: 0, lends: true }));
    desk
}

fn look(desk: &mut Desk, rules: &Rules, orders: &[&Order], now: i64) -> Look {
    desk.look(0, 0, rules, orders, Checks::NEW_ORDER, None, now).unwrap()
}

fn fault(desk: &mut Desk, rules: &Rules, order: &Order) -> Option<Fault> {
    let look = look(desk, rules, &[order], 0);
    look.at_all.or(look.opening)
}

fn most(value: i128) -> Option<Most> {
    Some(Most { value, place: "risk".into() })
}

#[test]
fn one_order_is_held_to_its_size_and_the_largest_that_passed_is_known() {
    let mut desk = desk();
    let rules = Rules { qty: most(5 * NANO), notional: most(490 * ATTO), ..Rules::default() };
    assert_eq!(fault(&mut desk, &rules, &order("a", 6, 1)), Some(Fault::Qty { order: 0 }));
    assert_eq!(fault(&mut desk, &rules, &order("a", 5, 98)), None);
    assert_eq!(fault(&mut desk, &rules, &order("a", 5, 99)), Some(Fault::Notional { order: 0, value: 495 * ATTO }));
    let unpriced = Order { worth: None, cost: None, limit: None, ..order("a", 1, 1) };
    let hard = order("b", 6, 1);
    assert_eq!(look(&mut desk, &rules, &[&unpriced], 0).at_all, Some(Fault::Unpriced { order: 0, notional: true }));
    assert_eq!(look(&mut desk, &rules, &[&unpriced, &hard], 0).at_all, Some(Fault::Qty { order: 1 }));
    assert_eq!(desk.largest("risk"), 0);
    let rules = Rules { qty: most(5 * NANO), ..Rules::default() };
    desk.count(0, &rules, &[&order("a", 4, 98), &order("b", 3, 98)], 0);
    assert_eq!(desk.largest("risk"), 4 * NANO);
}

#[test]
fn what_passed_is_no_double_once_the_window_is_over_and_counts_for_the_rate() {
    let mut desk = desk();
    let rates = vec![Limit { key: "risk".into(), count: 2, per: 100 }];
    let rules = Rules { twins: Some(10), rates, ..Rules::default() };
    desk.count(0, &rules, &[&order("a", 1, 99)], 0);
    let again = order("b", 1, 99);
    assert_eq!(look(&mut desk, &rules, &[&again], 9).at_all, Some(Fault::Twin { order: 0, age: Some(9) }));
    assert_eq!(look(&mut desk, &rules, &[&again], 10), Look { reduces: false, at_all: None, opening: None });
    let other = desk.look(0, 1, &rules, &[&again], Checks::NEW_ORDER, None, 9).unwrap();
    assert_eq!(other.at_all, None, "another strategy's");
    let change = Order { change: true, ..again.clone() };
    desk.count(0, &rules, &[&change], 5);
    assert_eq!(
        look(&mut desk, &Rules { rates: vec![], ..rules.clone() }, &[&again], 10).at_all,
        None,
        "no order of its own"
    );
    desk.count(0, &rules, &[&again], 10);
    assert_eq!(look(&mut desk, &rules, &[&again], 30).opening, Some(Fault::Rate { bound: 0, held: 3 }));
    assert_eq!(look(&mut desk, &rules, &[&again], 105).opening, None);
}

#[test]
fn a_list_is_held_against_itself() {
    let mut desk = desk();
    let rules = Rules { twins: Some(10), self_match: true, ..Rules::default() };
    let bid = order("a", 1, 99);
    desk.book.declare(1, Some(1), false);
    let mut with = |other: Order| look(&mut desk, &rules, &[&bid, &other], 0).at_all;
    assert_eq!(with(order("b", 1, 99)), Some(Fault::Twin { order: 1, age: None }));
    assert_eq!(with(order("b", 2, 99)), None);
    assert_eq!(with(sale("b", 1, 99)), Some(Fault::SelfMatch { order: 1, met: "a".into() }));
    assert_eq!(with(sale("b", 1, 100)), None);
    assert_eq!(with(Order { plain: false, exempt: true, ..sale("b", 1, 99) }), None, "an exit of it");
    assert_eq!(with(Order { instrument: 1, ..sale("b", 1, 99) }), None);
}

#[test]
fn an_order_may_not_meet_one_of_our_own() {
    let mut desk = desk();
    let rules = Rules { self_match: true, ..Rules::default() };
    desk.take(0, 0, &order("a", 1, 99), None, 0).unwrap();
    let met = Some(Fault::SelfMatch { order: 0, met: "a".into() });
    assert_eq!(fault(&mut desk, &rules, &sale("b", 1, 99)), met);
    assert_eq!(fault(&mut desk, &rules, &sale("b", 1, 100)), None);
    assert_eq!(fault(&mut desk, &rules, &Order { exempt: true, ..sale("b", 1, 99) }), None);
}

#[test]
fn what_closes_is_held_to_nothing_that_is_about_opening() {
    let mut desk = desk();
    desk.book.hold(0, None, 0, 5 * NANO, None).unwrap();
    let rules =
        Rules { headroom: Some(NANO), collar: Collar { percent: Some(0), ..Collar::default() }, ..Rules::default() };
    assert_eq!(look(&mut desk, &rules, &[&sale("a", 5, 50)], 0), Look { reduces: true, at_all: None, opening: None });
    let through = look(&mut desk, &rules, &[&sale("a", 6, 50)], 0);
    assert!(matches!(through.opening, Some(Fault::Quote { order: 0, off: Off::Away { .. } })), "{through:?}");
    let money = Order { money: true, ..sale("a", 1, 99) };
    assert!(!look(&mut desk, &rules, &[&money], 0).reduces, "money can't be compared with a position");
}

#[test]
fn a_bound_that_is_a_fraction_of_the_equity_is_told_with_the_order() {
    let mut desk = desk();
    let rules = Rules { of_equity: true, ..Rules::default() };
    let order = order("a", 5, 100);
    assert_eq!(look(&mut desk, &rules, &[&order], 0).opening, None);
    let mut with = |most: i128| {
        let gross = [(Level::Account, most * ATTO)];
        desk.look(0, 0, &rules, &[&order], Checks::EXPOSURE, Some(&gross), 0).unwrap().opening
    };
    assert_eq!(with(500), None);
    assert!(matches!(with(499), Some(Fault::Exposure(Breach::Gross { bound: 0, .. }))));
}

#[test]
fn what_opens_must_be_paid_for_beside_what_works_already() {
    let mut desk = desk();
    let rules = Rules { headroom: Some(NANO / 10), ..Rules::default() };
    assert_eq!(fault(&mut desk, &rules, &order("a", 180, 100)), None, "twice the equity less a tenth of that");
    let short = Some(Fault::Margin { cost: 18_100 * ATTO, kept: 2_000 * ATTO, own: 20_000 * ATTO, broker: None });
    assert_eq!(fault(&mut desk, &rules, &order("a", 181, 100)), short);
    desk.take(0, 0, &order("a", 100, 100), None, 0).unwrap();
    assert_eq!(desk.room.reserved(0), 10_000 * ATTO);
    assert_eq!(fault(&mut desk, &rules, &order("b", 80, 100)), None);
    assert!(matches!(fault(&mut desk, &rules, &order("b", 81, 100)), Some(Fault::Margin { .. })));
    // As a modification it is held to what it adds.
    let more = Order { change: true, ..order("a", 180, 100) };
    assert_eq!(fault(&mut desk, &rules, &more), None);
    assert!(matches!(
        fault(&mut desk, &rules, &Order { change: true, ..order("a", 181, 100) }),
        Some(Fault::Margin { .. })
    ));
    // What is not lent on is paid with cash.
    let coins = |units| Order { purse: Some(Purse::Cash), ..order("b", units, 10) };
    desk.note("a", 0, 0, None, 0, true, true, 1).unwrap();
    assert_eq!(desk.room.reserved(0), 0);
    assert_eq!(fault(&mut desk, &rules, &coins(900)), None);
    assert!(matches!(fault(&mut desk, &rules, &coins(901)), Some(Fault::Margin { .. })));
}

#[test]
fn what_closes_costs_nothing_and_what_other_orders_close_is_not_closed_twice() {
    let mut desk = desk();
    desk.book.hold(0, None, 0, 10 * NANO, None).unwrap();
    desk.take(0, 0, &sale("a", 6, 100), None, 0).unwrap();
    assert_eq!(desk.room.reserved(0), 0);
    desk.take(0, 0, &sale("b", 6, 100), None, 0).unwrap();
    assert_eq!(desk.room.reserved(0), 200 * ATTO, "two of them open a short");
    desk.take(0, 0, &Order { exit: true, released: 0, ..sale("c", 9, 100) }, None, 0).unwrap();
    assert_eq!(desk.room.reserved(0), 200 * ATTO, "an exit closes what its entry opens");
    assert_eq!(desk.closable(0, None, 0, false, "b", None), Ok(4 * NANO));
    assert_eq!(desk.closable(0, None, 0, false, "a", None), Ok(4 * NANO));
    assert_eq!(desk.closable(0, None, 0, true, "d", None), Ok(0));
}

#[test]
fn exits_of_which_one_cancels_the_other_close_what_one_of_them_does() {
    let mut desk = desk();
    desk.book.hold(0, None, 0, 10 * NANO, None).unwrap();
    let exit = |id: &str, units| Order { group: Some("oco".into()), plain: false, ..sale(id, units, 100) };
    let (one, other, sale) = (exit("a", 6), exit("b", 6), sale("c", 5, 100));
    let rules = Rules { headroom: Some(0), ..Rules::default() };
    let opens = |opening| matches!(opening, Some(Fault::Margin { cost, .. }) if cost == 100 * ATTO);
    desk.room.own(0, Some(Own { equity: 2000 * ATTO, cash: 0, burden: Some(2000 * ATTO), secured: 0, lends: true }));
    assert!(look(&mut desk, &rules, &[&one, &other], 0).reduces);
    assert!(opens(look(&mut desk, &rules, &[&one, &other, &sale], 0).opening), "6 and 5 are one more than 10");
    desk.take(0, 0, &one, None, 0).unwrap();
    desk.take(0, 0, &other, None, 0).unwrap();
    assert_eq!(desk.room.reserved(0), 0);
    assert!(opens(look(&mut desk, &rules, &[&sale], 0).opening));
    assert_eq!(desk.closable(0, None, 0, false, "b", None), Ok(10 * NANO));
    assert_eq!(desk.closable(0, None, 0, false, "c", None), Ok(4 * NANO));
}

#[test]
fn an_exit_closes_what_is_there_of_what_its_entry_opened() {
    let mut desk = desk();
    let exit = |id: &str, released| Order { exit: true, plain: false, released: released * NANO, ..sale(id, 10, 100) };
    desk.take(0, 0, &exit("a", 0), None, 0).unwrap();
    assert_eq!(desk.room.reserved(0), 0, "its entry opens what it closes");
    desk.take(0, 0, &exit("b", 4), None, 0).unwrap();
    assert_eq!(desk.room.reserved(0), 400 * ATTO, "what was filled of the entry is gone again");
    desk.hold(0, None, 0, 4 * NANO, None).unwrap();
    desk.cover();
    assert_eq!(desk.room.reserved(0), 0);
    desk.hold(0, None, 0, 0, None).unwrap();
    desk.cover();
    let change = Order { change: true, ..exit("b", 4) };
    desk.expect("b", 0, None, Some(&change)).unwrap();
    desk.note("b", 0, 10 * NANO, Some(100 * DOLLAR), 0, false, true, 1).unwrap();
    assert_eq!(desk.room.reserved(0), 400 * ATTO, "a modification gives nothing back");
    desk.room.own(0, Some(Own { equity: 1999 * ATTO, cash: 0, burden: Some(0), secured: 0, lends: true }));
    let rules = Rules { headroom: Some(0), ..Rules::default() };
    assert_eq!(fault(&mut desk, &rules, &exit("c", 10)), Some(Fault::Short { order: 0 }));
}

#[test]
fn a_spread_whose_contracts_are_not_told_reduces_nothing() {
    let mut desk = desk();
    desk.book.declare(1, Some(1), true);
    let order = Order { instrument: 1, ..sale("a", 1, 1) };
    assert!(!look(&mut desk, &Rules::default(), &[&order], 0).reduces);
    assert!(!desk.reduces(0, 0, &[&order]).unwrap());
    assert!(!look(&mut desk, &Rules::default(), &[], 0).reduces);
}

#[test]
fn what_one_of_a_list_closes_no_other_closes_again() {
    let mut desk = desk();
    desk.book.hold(0, None, 0, 10 * NANO, None).unwrap();
    desk.room.own(0, Some(Own { equity: 1999 * ATTO, cash: 0, burden: Some(0), secured: 0, lends: true }));
    let rules = Rules { headroom: Some(0), ..Rules::default() };
    let (one, other) = (sale("a", 10, 100), sale("b", 10, 101));
    assert!(look(&mut desk, &rules, &[&one], 0).reduces);
    assert_eq!(look(&mut desk, &rules, &[&one, &other], 0).opening, Some(Fault::Short { order: 1 }));
    let (half, rest) = (sale("a", 6, 100), sale("b", 4, 101));
    assert!(look(&mut desk, &rules, &[&half, &rest], 0).reduces);
    let bought = order("c", 20, 100);
    assert!(matches!(
        look(&mut desk, &rules, &[&half, &rest, &bought], 0).opening,
        Some(Fault::Margin { cost, .. }) if cost == 2_000 * ATTO
    ));
}

#[test]
fn one_equity_pays_for_what_is_lent_on_and_what_is_not() {
    let mut desk = desk();
    desk.book.declare(1, Some(1), false);
    let rules = Rules { headroom: Some(0), ..Rules::default() };
    let coins = |units| Order { instrument: 1, purse: Some(Purse::Cash), ..order("b", units, 10) };
    let mut asked = |shares, coins: Order| look(&mut desk, &rules, &[&order("a", shares, 100), &coins], 0).opening;
    assert_eq!(asked(50, coins(500)), None, "where the shares are the first, coins have what they leave of the cash");
    assert!(matches!(asked(51, coins(500)), Some(Fault::Margin { cost, .. }) if cost == 10_100 * ATTO));
    assert!(matches!(asked(181, coins(100)), Some(Fault::Margin { cost, .. }) if cost == 20_100 * ATTO));
    desk.room.own(0, Some(Own { equity: 1000 * ATTO, cash: 1000 * ATTO, burden: Some(0), secured: 0, lends: true }));
    let mut asked = |shares, coins: Order| look(&mut desk, &rules, &[&order("a", shares, 100), &coins], 0).opening;
    assert_eq!(asked(5, coins(50)), None, "nothing is lent");
    assert!(matches!(asked(5, coins(51)), Some(Fault::Margin { cost, .. }) if cost == 1_010 * ATTO));
}

#[test]
fn what_closes_is_followed_whatever_a_contract_is_of() {
    let mut desk = desk();
    desk.book.hold(0, None, 0, 10 * NANO, None).unwrap();
    desk.book.declare(0, None, false);
    desk.take(0, 0, &sale("a", 10, 100), None, 0).unwrap();
    desk.note("a", 0, 5 * NANO, Some(100 * DOLLAR), 5 * NANO, false, true, 1).unwrap();
    assert_eq!(desk.room.reserved(0), 0);
    let opens = desk.take(0, 0, &sale("b", 1, 100), None, 2);
    assert_eq!(opens, Err(Wrong::Unsized(0)));
}

#[test]
fn a_short_sale_needs_a_broker_that_lends_and_what_is_unknown_is_a_fault() {
    let mut desk = desk();
    let rules = Rules { headroom: Some(0), ..Rules::default() };
    assert_eq!(fault(&mut desk, &rules, &sale("a", 1, 100)), None);
    let cash_account = Figures { multiplier: Figure::Is(ATTO), ..Figures::default() };
    desk.room.report(0, cash_account, 1);
    assert_eq!(fault(&mut desk, &rules, &sale("a", 1, 100)), Some(Fault::Short { order: 0 }));
    desk.room.report(0, Figures { multiplier: Figure::Unreadable, ..Figures::default() }, 2);
    assert_eq!(fault(&mut desk, &rules, &order("a", 1, 100)), Some(Fault::Wrong(Wrong::Unreadable)));
    desk.room.report(0, Figures { buying_power: Figure::Is(50 * ATTO), ..Figures::default() }, 3);
    let broker = Some(50 * ATTO);
    let short = Fault::Margin { cost: 100 * ATTO, kept: 0, own: 20_000 * ATTO, broker };
    assert_eq!(fault(&mut desk, &rules, &order("a", 1, 100)), Some(short));
    let unpriced = Order { cost: None, worth: None, ..order("a", 1, 1) };
    assert_eq!(fault(&mut desk, &rules, &unpriced), Some(Fault::NoPrice { order: 0 }));
    desk.room.own(0, None);
    assert_eq!(fault(&mut desk, &rules, &order("a", 1, 100)), Some(Fault::NoEquity));
    desk.book.declare(0, None, false);
    assert_eq!(fault(&mut desk, &rules, &order("a", 1, 100)), Some(Fault::Wrong(Wrong::Unsized(0))));
}

#[test]
fn what_does_not_fit_is_a_fault_and_no_wrapped_number() {
    let mut desk = desk();
    let rules = Rules { notional: most(ATTO), ..Rules::default() };
    let huge = Order { units: Some(i128::MAX / 2), ..order("a", 1, 4) };
    assert_eq!(
        look(&mut desk, &rules, &[&huge], 0).at_all,
        Some(Fault::Wrong(Wrong::Exposure(exposure::Wrong::Overflow)))
    );
}

proptest! {
    /// Held against going through the orders of both sides one by one. Each costs 1 a unit that opens.
    #[test]
    fn a_position_is_there_to_close_in_the_order_in_which_orders_came(
        steps in prop::collection::vec((0..6_usize, -9..10_i128, 1..9_i128, 0..4_u8), 1..40),
    ) {
        let mut desk = desk();
        let groups = [None, None, None, Some("x"), Some("x"), None];
        let names = ["a", "b", "c", "d", "e", "f"];
        let buy = [true, false, false, false, false, true];
        let (mut held, mut working) = (0, Vec::<(usize, i128)>::new());
        for (now, (which, position, left, kind)) in steps.into_iter().enumerate() {
            let (name, now) = (names[which], now as i64);
            if kind == 0 {
                held = position;
                desk.hold(0, None, 0, held * NANO, None).unwrap();
            } else if let Some(index) = working.iter().position(|(each, _)| *each == which) {
                if kind == 1 {
                    desk.book.remove(name);
                    working.remove(index);
                } else {
                    let group = groups[which].map(Into::into);
                    let open = exposure::Open { qty: left * NANO, price: Some(DOLLAR), group, leg: false };
                    desk.book.put(name, 0, 0, 0, buy[which], open, Resting::Exempt, &[]).unwrap();
                    working[index].1 = left;
                }
                desk.note(name, 0, left * NANO, Some(DOLLAR), 0, kind == 1, true, now).unwrap();
            } else {
                let group: Option<Box<str>> = groups[which].map(Into::into);
                let order = Order { buy: buy[which], plain: group.is_none(), group, ..order(name, left, 1) };
                desk.take(0, 0, &order, None, now).unwrap();
                working.push((which, left));
            }
            desk.cover();
            let mut opens = 0;
            for side in [false, true] {
                let mut there = if side { -held } else { held }.max(0);
                let mut pair = 0;
                for (which, left) in working.iter().filter(|(which, _)| buy[*which] == side) {
                    let shared = if groups[*which].is_some() { pair } else { 0 };
                    let closes = (*left).min(there + shared);
                    there -= (closes - shared).max(0);
                    pair = if groups[*which].is_some() { pair.max(closes) } else { pair };
                    opens += left - closes;
                }
            }
            prop_assert_eq!(desk.room.reserved(0), opens * ATTO);
        }
    }
}
