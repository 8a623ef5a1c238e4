//! Examples, and the book against a plain count over everything for whatever came and went.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DOLLAR: i128 = 1_000_000_000;
/// A dollar as a value.
const USD: i128 = DOLLAR * DOLLAR;

fn open(qty: i128, price: i128) -> Open {
    Open { qty: qty * DOLLAR, price: Some(price * DOLLAR), group: None, leg: false }
}

fn buy(qty: i128, price: i128) -> Candidate<'static> {
    let (qty, price) = (Some(qty * DOLLAR), Some(price * DOLLAR));
    Candidate { order: "new", instrument: 0, buy: true, qty, price, group: None, leg: false, of: 0 }
}

/// One instrument at 100.
fn book() -> Book {
    let mut book = Book::default();
    book.declare(0, Some(1), false);
    for side in [false, true] {
        book.mark(0, side, Some(100 * DOLLAR)).unwrap();
    }
    book
}

#[test]
fn a_position_and_what_works_count_at_once() {
    let mut book = book();
    book.hold(0, None, 0, 10 * DOLLAR, None).unwrap();
    book.put("a", 0, 0, 0, true, open(5, 90), Resting::Market, &[]).unwrap();
    book.put("b", 0, 0, 0, false, open(40, 110), Resting::Market, &[]).unwrap();
    // 10 at 100 and 5 at 90 is less than what is left short of 40 sold at 110.
    assert_eq!(book.total(0, None), Ok(30 * 110 * USD));
    assert_eq!(book.total(0, Some(0)), Ok(40 * 110 * USD));
    book.remove("b");
    assert_eq!(book.total(0, None), Ok(1450 * USD));
    assert_eq!((book.orders(Some(0), None), book.orders(None, None), book.orders(Some(1), None)), (1, 1, 0));
}

#[test]
fn at_the_bound_it_passes_and_a_unit_more_is_a_breach() {
    let mut book = book();
    book.hold(0, None, 0, 10 * DOLLAR, None).unwrap();
    let bounds = Bounds { position_of_account: Some(1_500 * USD), ..Bounds::default() };
    assert_eq!(book.check(0, 0, &[buy(5, 100)], &bounds, &bounds.gross, true), Ok(None));
    let breach = book.check(0, 0, &[buy(6, 100)], &bounds, &bounds.gross, true).unwrap();
    let (level, held) = (Level::Account, 10 * DOLLAR);
    assert_eq!(
        breach,
        Some(Breach::Position { level, candidate: 0, instrument: 0, worst: 1_600 * USD, held, working: 0 })
    );
    let bounds = Bounds { gross: vec![(Level::Node, 1_500 * USD)], ..Bounds::default() };
    assert_eq!(book.check(0, 0, &[buy(5, 100)], &bounds, &bounds.gross, true), Ok(None));
    let breach = book.check(0, 0, &[buy(6, 100)], &bounds, &bounds.gross, true).unwrap();
    assert_eq!(breach, Some(Breach::Gross { bound: 0, before: 1_000 * USD, after: 1_600 * USD }));
    let bounds = Bounds { open_orders: vec![(Level::Strategy, 1)], ..Bounds::default() };
    assert_eq!(book.check(0, 0, &[buy(5, 100)], &bounds, &bounds.gross, true), Ok(None));
    book.put("a", 0, 0, 0, true, open(1, 90), Resting::Market, &[]).unwrap();
    let breach = book.check(0, 0, &[buy(5, 100)], &bounds, &bounds.gross, true).unwrap();
    assert_eq!(breach, Some(Breach::OpenOrders { bound: 0, working: 1 }));
}

#[test]
fn what_has_no_price_or_no_quantity_is_told_of() {
    let mut book = book();
    book.declare(1, Some(1), false);
    let bounds =
        Bounds { position_of_account: Some(USD), gross: vec![(Level::Account, 1_000_000 * USD)], ..Bounds::default() };
    let gross = Bounds { position_of_account: None, ..bounds.clone() };
    for wanted in [Candidate { price: None, ..buy(1, 1) }, Candidate { qty: None, price: None, ..buy(1, 1) }] {
        let breach = book.check(0, 0, std::slice::from_ref(&wanted), &bounds, &bounds.gross, true).unwrap();
        assert_eq!(breach, Some(Breach::PositionUnpriced { level: Level::Account, candidate: 0 }));
        let breach = book.check(0, 0, &[wanted], &gross, &gross.gross, true).unwrap();
        assert_eq!(breach, Some(Breach::GrossUnpriced { bound: 0, instrument: 0 }));
    }
    book.hold(0, None, 1, DOLLAR, None).unwrap();
    assert_eq!(book.total(0, None), Err(1));
    assert_eq!(
        book.check(0, 0, &[buy(1, 1)], &gross, &gross.gross, true),
        Ok(Some(Breach::GrossUnpriced { bound: 0, instrument: 1 }))
    );
    book.hold(0, None, 1, DOLLAR, Some(7 * DOLLAR)).unwrap();
    assert_eq!(book.total(0, None), Ok(7 * USD));
    book.mark(1, false, Some(9 * DOLLAR)).unwrap();
    assert_eq!(book.total(0, None), Ok(9 * USD));
    book.declare(1, None, false);
    assert_eq!(book.total(0, None), Err(1));
    book.hold(0, None, 1, 0, None).unwrap();
    assert_eq!(book.total(0, None), Ok(0));
    assert_eq!(book.mark(2, true, None), Err(Wrong::Undeclared(2)));
}

#[test]
fn the_nodes_gross_exposure_is_that_of_all_accounts() {
    let mut book = book();
    book.hold(1, None, 0, 10 * DOLLAR, None).unwrap();
    let bounds = Bounds { gross: vec![(Level::Node, 1_100 * USD)], ..Bounds::default() };
    assert_eq!(book.check(0, 0, &[buy(1, 100)], &bounds, &bounds.gross, true), Ok(None));
    let breach = book.check(0, 0, &[buy(2, 100)], &bounds, &bounds.gross, true).unwrap();
    assert_eq!(breach, Some(Breach::Gross { bound: 0, before: 1_000 * USD, after: 1_200 * USD }));
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_the_book_as_it_was() {
    let mut book = book();
    book.put("a", 0, 0, 0, true, open(1, 90), Resting::Market, &[]).unwrap();
    let huge = Open { qty: i128::MAX / 2, price: Some(4), group: None, leg: false };
    assert_eq!(book.put("b", 0, 0, 0, true, huge, Resting::Market, &[]), Err(Wrong::Overflow));
    assert_eq!((book.orders(None, None), book.orders(Some(0), None), book.total(0, None)), (1, 1, Ok(90 * USD)));
    assert_eq!(book.side(0, None, 0, true, &[]), Ok(DOLLAR));
    let bounds = Bounds { position_of_account: Some(USD), ..Bounds::default() };
    let wanted = Candidate { qty: Some(i128::MAX), ..buy(1, 1) };
    assert_eq!(book.check(0, 0, &[wanted], &bounds, &bounds.gross, true), Err(Wrong::Overflow));
    book.hold(0, None, 0, i128::MAX, None).unwrap();
    assert_eq!(book.total(0, None), Err(0), "a value that does not fit is unknown");
}

#[test]
fn a_spread_counts_as_its_contracts() {
    let mut book = book();
    book.declare(1, Some(1), false);
    book.declare(2, Some(1), true);
    let legs = [
        Leg { instrument: 0, ratio: 1, worth: Some(100 * DOLLAR) },
        Leg { instrument: 1, ratio: -2, worth: Some(10 * DOLLAR) },
    ];
    book.put("a", 0, 0, 2, true, open(3, 120), Resting::Market, &legs).unwrap();
    assert_eq!(book.total(0, None), Ok((3 * 100 + 6 * 10) * USD));
    assert_eq!((book.orders(None, None), book.orders(Some(0), Some(0))), (1, 1));
    assert_eq!(book.others(0, None, 1, false, "new", None), Ok(6 * DOLLAR));
    assert_eq!(book.side(0, None, 1, false, &[]), Ok(0), "orders of spreads are counted elsewhere");
    assert_eq!(book.meets(0, 0, false, None, "new"), None, "its contracts meet nothing by themselves");
    assert_eq!(book.meets(0, 2, false, None, "new"), Some("a"));

    let own = Candidate { instrument: 2, ..buy(2, 120) };
    let [one, other] = legs.each_ref().map(|leg| own.leg(leg).unwrap());
    let bounds = |position| Bounds { position_of_account: Some(position * USD), ..Bounds::default() };
    let check = |wanted: &[Candidate<'_>], most| book.check(0, 0, wanted, &bounds(most), &[], true).unwrap();
    let spread = [one.clone(), other.clone(), own.clone()];
    assert_eq!(check(&spread, 600), None);
    let (level, worst) = (Level::Account, 600 * USD);
    let breach = Breach::Position { level, candidate: 0, instrument: 2, worst, held: 0, working: 3 * DOLLAR };
    assert_eq!(check(&spread, 599), Some(breach), "all contracts together");
    let worst = 500 * USD;
    let breach = Breach::Position { level, candidate: 0, instrument: 0, worst, held: 0, working: 3 * DOLLAR };
    assert_eq!(check(std::slice::from_ref(&one), 499), Some(breach), "each by itself");
    let gross = [(Level::Account, 600 * USD)];
    let bounds = Bounds { open_orders: vec![(Level::Node, 2)], ..Bounds::default() };
    assert_eq!(book.check(0, 0, &spread, &bounds, &gross, true), Ok(None));
    let gross = [(Level::Account, 599 * USD)];
    let breach = Breach::Gross { bound: 0, before: 360 * USD, after: 600 * USD };
    assert_eq!(book.check(0, 0, &spread, &bounds, &gross, true), Ok(Some(breach)));
    assert_eq!(check(&[Candidate { qty: Some(1), ..buy(1, 1) }], 300 + 1), None);

    book.remove("a");
    assert_eq!((book.total(0, None), book.instruments()), (Ok(0), vec![]));
}

#[test]
fn what_a_spread_closes_no_other_order_closes_again() {
    let mut book = book();
    book.declare(2, Some(1), true);
    book.hold(0, None, 0, 5 * DOLLAR, None).unwrap();
    let legs = [Leg { instrument: 0, ratio: 1, worth: None }];
    let sale = |qty| Candidate { buy: false, ..buy(qty, 100) };
    book.put("a", 0, 0, 2, false, open(3, 0), Resting::Market, &legs).unwrap();
    assert_eq!(book.reduces(0, None, 0, &[sale(2)]), Ok(true));
    assert_eq!(book.reduces(0, None, 0, &[sale(3)]), Ok(false));
    let closing = Candidate { order: "b", instrument: 2, ..sale(2) };
    assert_eq!(book.reduces(0, None, 0, &[closing.leg(&legs[0]).unwrap()]), Ok(true));
    let again = Candidate { order: "a", instrument: 2, ..sale(5) };
    assert_eq!(book.reduces(0, None, 0, &[again.leg(&legs[0]).unwrap()]), Ok(true), "as a modification of itself");
}

#[test]
fn an_order_meets_what_it_could_trade_with() {
    let mut book = book();
    let limit = |price: i128| Resting::Limit(price * DOLLAR);
    book.put("exempt", 0, 0, 0, false, open(1, 90), Resting::Exempt, &[]).unwrap();
    book.put("sale", 0, 0, 0, false, open(1, 101), limit(101), &[]).unwrap();
    book.put("bid", 0, 1, 0, true, open(1, 99), limit(99), &[]).unwrap();
    assert_eq!(book.meets(0, 0, true, Some(100 * DOLLAR), "new"), None);
    assert_eq!(book.meets(0, 0, true, Some(101 * DOLLAR), "new"), Some("sale"));
    assert_eq!(book.meets(0, 0, true, Some(101 * DOLLAR), "sale"), None);
    assert_eq!(book.meets(0, 0, true, None, "new"), Some("sale"));
    assert_eq!(book.meets(0, 0, false, Some(100 * DOLLAR), "new"), None);
    assert_eq!(book.meets(0, 0, false, Some(99 * DOLLAR), "new"), Some("bid"));
    assert_eq!(book.meets(1, 0, true, None, "new"), None);
    book.put("stop", 0, 0, 0, true, open(1, 99), Resting::Market, &[]).unwrap();
    assert_eq!(book.meets(0, 0, false, Some(100 * DOLLAR), "new"), Some("stop"));
}

// -- against a plain count -----------------------------------------------------------------------------------------

#[derive(Clone, Debug)]
enum Step {
    Mark { instrument: u32, buy: bool, price: Option<i128> },
    Hold { account: u32, strategy: u32, instrument: u32, held: i128 },
    Put { order: u8, account: u32, strategy: u32, instrument: u32, buy: bool, open: Open },
    Drop { order: u8 },
}

#[derive(Clone, Debug)]
struct Wanted {
    order: u8,
    instrument: u32,
    buy: bool,
    open: Open,
}

fn opens() -> impl Strategy<Value = Open> {
    (0..9i128, proptest::option::weighted(0.9, 1..5i128), proptest::option::weighted(0.3, 0..2u8)).prop_map(
        |(qty, price, group)| Open { qty, price, group: group.map(|group| group.to_string().into()), leg: false },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3u32, any::<bool>(), proptest::option::weighted(0.9, 1..5i128))
            .prop_map(|(instrument, buy, price)| Step::Mark { instrument, buy, price }),
        (0..2u32, 0..2u32, 0..3u32, -9..9i128).prop_map(|(account, strategy, instrument, held)| Step::Hold {
            account,
            strategy,
            instrument,
            held
        }),
        (0..8u8, 0..2u32, 0..2u32, 0..3u32, any::<bool>(), opens()).prop_map(
            |(order, account, strategy, instrument, buy, open)| Step::Put {
                order,
                account,
                strategy,
                instrument,
                buy,
                open
            }
        ),
        (0..8u8).prop_map(|order| Step::Drop { order }),
    ]
}

type Order = (u32, u32, u32, bool, Open);

/// Everything as it was said, and nothing kept.
#[derive(Default)]
struct Plain {
    marks: BTreeMap<(u32, bool), i128>,
    held: BTreeMap<(u32, u32, u32), i128>,
    orders: BTreeMap<u8, Order>,
}

fn multiplier(instrument: u32) -> i128 {
    if instrument == 2 { 100 } else { 1 }
}

impl Plain {
    fn position(&self, account: u32, strategy: Option<u32>, instrument: u32) -> i128 {
        let of = self.held.iter().filter(|(key, _)| key.0 == account && key.2 == instrument);
        of.filter(|(key, _)| strategy.is_none_or(|each| each == key.1)).map(|(_, held)| held).sum()
    }

    /// Quantity, price and group of what counts on a side, each group once.
    fn side(&self, account: u32, strategy: Option<u32>, instrument: u32, buy: bool) -> Vec<(i128, Option<i128>)> {
        let mut alone = Vec::new();
        let mut groups: BTreeMap<&str, Vec<(i128, Option<i128>)>> = BTreeMap::new();
        for (of, by, what, side, open) in self.orders.values() {
            if (*of, *what, *side) != (account, instrument, buy) || strategy.is_some_and(|each| each != *by) {
                continue;
            }
            match &open.group {
                None => alone.push((open.qty, open.price)),
                Some(group) => groups.entry(group).or_default().push((open.qty, open.price)),
            }
        }
        for several in groups.values() {
            let qty = several.iter().map(|each| each.0).max().unwrap();
            let dearest = several.iter().map(|each| each.1).collect::<Option<Vec<_>>>();
            alone.push((qty, dearest.map(|prices| prices.into_iter().max().unwrap())));
        }
        alone.retain(|each| each.0 > 0);
        alone
    }

    fn worst(&self, account: u32, strategy: Option<u32>, instrument: u32, buy: bool) -> Option<i128> {
        let sign = if buy { 1 } else { -1 };
        let held = self.position(account, strategy, instrument) * sign;
        let orders = self.side(account, strategy, instrument, buy);
        let qty: i128 = orders.iter().map(|each| each.0).sum();
        let dearest = || orders.iter().map(|each| each.1).collect::<Option<Vec<_>>>()?.into_iter().max();
        let mark = self.marks.get(&(instrument, buy)).copied();
        let worth = if held == 0 && qty == 0 {
            Some(0)
        } else if held < 0 && held + qty > 0 {
            dearest().map(|price| price * (held + qty))
        } else if held < 0 {
            let left = -(held + qty);
            if left == 0 { Some(0) } else { mark.or_else(dearest).map(|price| price * left) }
        } else {
            let ordered = orders.iter().map(|(qty, price)| price.map(|price| price * qty)).sum::<Option<i128>>();
            let mark = if held == 0 { Some(0) } else { mark.or_else(dearest) };
            ordered.zip(mark).map(|(ordered, mark)| ordered + mark * held)
        };
        worth.map(|worth| worth * multiplier(instrument))
    }

    fn total(&self, account: u32, strategy: Option<u32>) -> Option<i128> {
        (0..3)
            .map(|instrument| {
                let worst = |buy| self.worst(account, strategy, instrument, buy);
                worst(true).zip(worst(false)).map(|(one, other)| one.max(other))
            })
            .sum()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_kept_is_what_a_count_over_everything_gives(
        all in proptest::collection::vec(steps(), 0..40),
        wanted in proptest::collection::vec(
            (0..12u8, 0..3u32, any::<bool>(), opens())
                .prop_map(|(order, instrument, buy, open)| Wanted { order, instrument, buy, open }),
            1..4,
        ),
        most in 0..500i128,
    ) {
        let mut book = Book::default();
        for instrument in 0..3 {
            book.declare(instrument, Some(multiplier(instrument)), false);
        }
        let mut plain = Plain::default();
        for step in all {
            match step {
                Step::Mark { instrument, buy, price } => {
                    book.mark(instrument, buy, price).unwrap();
                    match price {
                        Some(price) => plain.marks.insert((instrument, buy), price),
                        None => plain.marks.remove(&(instrument, buy)),
                    };
                }
                Step::Hold { account, strategy, instrument, held } => {
                    plain.held.insert((account, strategy, instrument), held);
                    book.hold(account, Some(strategy), instrument, held, None).unwrap();
                    let whole = plain.position(account, None, instrument);
                    book.hold(account, None, instrument, whole, None).unwrap();
                }
                Step::Put { order, account, strategy, instrument, buy, open } => {
                    let at = Resting::Market;
                    book.put(&order.to_string(), account, strategy, instrument, buy, open.clone(), at, &[]).unwrap();
                    plain.orders.insert(order, (account, strategy, instrument, buy, open));
                }
                Step::Drop { order } => {
                    book.remove(&order.to_string());
                    plain.orders.remove(&order);
                }
            }
        }
        for account in 0..2 {
            for strategy in [None, Some(0), Some(1)] {
                let total = plain.total(account, strategy);
                prop_assert_eq!(book.total(account, strategy).ok(), total);
                let mine = |order: &&Order| order.0 == account && strategy.is_none_or(|each| each == order.1);
                let count = plain.orders.values().filter(mine).count();
                prop_assert_eq!(book.orders(Some(account), strategy), count);
            }
        }

        for (name, (account, _, instrument, buy, open)) in plain.orders.clone() {
            let mut others = Plain { orders: plain.orders.clone(), ..Plain::default() };
            others.orders.retain(|each, order| {
                *each != name && (open.group.is_none() || order.4.group != open.group)
            });
            let qty = others.side(account, None, instrument, buy).iter().map(|each| each.0).sum();
            prop_assert_eq!(book.others(account, None, instrument, buy, &name.to_string(), None), Ok(qty));
            let known = open.group.as_deref();
            prop_assert_eq!(book.others(account, None, instrument, buy, &name.to_string(), known), Ok(qty));
        }

        // Account 0, strategy 0 wants some more; one that works already is taken to stay where and whose it is.
        let mut seen = Vec::new();
        let wanted: Vec<Wanted> = wanted
            .into_iter()
            .filter_map(|mut each| {
                if let Some((account, strategy, instrument, buy, _)) = plain.orders.get(&each.order) {
                    if (*account, *strategy) != (0, 0) {
                        return None;
                    }
                    (each.instrument, each.buy) = (*instrument, *buy);
                }
                if seen.contains(&each.order) { return None }
                seen.push(each.order);
                Some(each)
            })
            .collect();
        let names: Vec<String> = wanted.iter().map(|each| each.order.to_string()).collect();
        let candidates: Vec<Candidate<'_>> = wanted
            .iter()
            .zip(&names)
            .enumerate()
            .map(|(of, (each, order))| Candidate {
                of,
                leg: false,
                order,
                instrument: each.instrument,
                buy: each.buy,
                qty: Some(each.open.qty),
                price: each.open.price,
                group: each.open.group.as_deref(),
            })
            .collect();
        let before = [plain.total(0, None), plain.total(0, Some(0)), plain.total(1, None)];
        for Wanted { order, instrument, buy, open } in &wanted {
            let mut open = open.clone();
            if let Some((.., working)) = plain.orders.get(order) {
                open.qty = open.qty.max(working.qty);
            }
            plain.orders.insert(*order, (0, 0, *instrument, *buy, open));
        }
        for (level, strategy, before) in [(Level::Account, None, before[0]), (Level::Strategy, Some(0), before[1])] {
            let bounds = Bounds { gross: vec![(level, most)], ..Bounds::default() };
            let found = book.check(0, 0, &candidates, &bounds, &bounds.gross, true).unwrap();
            match (before, plain.total(0, strategy)) {
                (Some(before), Some(after)) if after > before && after > most => {
                    prop_assert_eq!(found, Some(Breach::Gross { bound: 0, before, after }));
                }
                (Some(_), Some(_)) => prop_assert_eq!(found, None),
                _ => prop_assert!(matches!(found, Some(Breach::GrossUnpriced { .. })), "{found:?}"),
            }
        }
        for each in &candidates {
            for strategy in [None, Some(0)] {
                let qty = book.side(0, strategy, each.instrument, each.buy, &candidates).unwrap();
                let side = plain.side(0, strategy, each.instrument, each.buy);
                prop_assert_eq!(qty, side.iter().map(|each| each.0).sum::<i128>());
                let held = plain.position(0, strategy, each.instrument);
                let closes = if each.buy { -held } else { held };
                let one_way = candidates.iter().all(|other| other.instrument != each.instrument || other.buy == each.buy);
                let reduces = held != 0 && closes > 0 && one_way && qty <= held.abs();
                prop_assert_eq!(book.reduces(0, strategy, each.instrument, &candidates).unwrap(), reduces);
            }
        }
        if let [only] = candidates.as_slice() {
            let bounds = Bounds { position_of_account: Some(most), ..Bounds::default() };
            let found = book.check(0, 0, &candidates, &bounds, &bounds.gross, true).unwrap();
            match plain.worst(0, None, only.instrument, only.buy) {
                None => prop_assert!(matches!(found, Some(Breach::PositionUnpriced { .. })), "{found:?}"),
                Some(worst) if worst > most => {
                    let told = matches!(found, Some(Breach::Position { worst: told, .. }) if told == worst);
                    prop_assert!(told, "{found:?}");
                }
                Some(_) => prop_assert_eq!(found, None),
            }
        }
    }
}
