use super::*;
use crate::margin::NANO;
use proptest::prelude::*;

use Right::{Call, Put};

const NEAR: i32 = 250_117;
const FAR: i32 = 250_124;

fn leg(right: Right, dollars: i64, expiry: i32, qty: i64) -> Leg {
    Leg::new(right, dollars * 1_000, expiry, qty).unwrap()
}

fn c(strike: i64, qty: i64) -> Leg {
    leg(Call, strike, NEAR, qty)
}

fn p(strike: i64, qty: i64) -> Leg {
    leg(Put, strike, NEAR, qty)
}

fn margin(legs: &[Leg]) -> Option<i128> {
    requirement(legs, 0, Expirations::PerDate).ok().map(|found| found.amount / NANO)
}

/// Alpaca's worked examples and the rows that follow from its order payloads. None: uncovered.
#[test]
fn worked_rows() {
    let rows: &[(&str, Vec<Leg>, Option<i128>)] = &[
        ("worked: two call spreads", vec![c(100, 1), c(110, -1), c(200, 1), c(190, -1)], Some(0)),
        ("worked: bear call", vec![c(200, 1), c(190, -1)], Some(1000)),
        ("bull call", vec![c(190, 1), c(210, -1)], Some(0)),
        ("bear put", vec![p(210, 1), p(190, -1)], Some(0)),
        ("iron condor", vec![p(190, 1), p(195, -1), c(205, -1), c(210, 1)], Some(500)),
        ("unequal wings", vec![p(180, 1), p(190, -1), c(210, -1), c(215, 1)], Some(1000)),
        ("iron butterfly", vec![p(95, 1), p(100, -1), c(100, -1), c(105, 1)], Some(500)),
        ("bear call 100/110", vec![c(100, -1), c(110, 1)], Some(1000)),
        ("bull put 95/90", vec![p(95, -1), p(90, 1)], Some(500)),
        ("condor 90/95/105/110", vec![p(90, 1), p(95, -1), c(105, -1), c(110, 1)], Some(500)),
        ("condor 180/190/210/220", vec![p(180, 1), p(190, -1), c(210, -1), c(220, 1)], Some(1000)),
        ("the same five times", vec![p(180, 5), p(190, -5), c(210, -5), c(220, 5)], Some(5000)),
        ("long butterfly", vec![c(95, 1), c(100, -2), c(105, 1)], Some(0)),
        ("short butterfly", vec![c(95, -1), c(100, 2), c(105, -1)], Some(500)),
        ("broken wing", vec![c(95, 1), c(100, -2), c(110, 1)], Some(500)),
        ("back spread", vec![c(100, -1), c(110, 2)], Some(1000)),
        ("ratio spread", vec![c(100, 1), c(110, -2)], None),
        ("short straddle", vec![c(100, -1), p(100, -1)], None),
        ("box", vec![c(100, 1), c(110, -1), p(110, 1), p(100, -1)], Some(0)),
        ("reversed box", vec![c(100, -1), c(110, 1), p(110, -1), p(100, 1)], Some(1000)),
        ("long straddle", vec![c(100, 1), p(100, 1)], Some(0)),
        ("short put", vec![p(100, -1)], Some(10_000)),
        ("1 long put 100, 2 short puts 90", vec![p(100, 1), p(90, -2)], Some(8_000)),
        ("roll of strikes", vec![c(200, 1), c(205, -1), c(210, -1), c(215, 1)], Some(0)),
        ("roll of dates", vec![c(200, 1), c(205, -1), leg(Call, 200, FAR, -1), leg(Call, 205, FAR, 1)], Some(500)),
        (
            "bear call near, bull put far: the larger, not the sum",
            vec![c(100, -1), c(110, 1), leg(Put, 50, FAR, -1), leg(Put, 45, FAR, 1)],
            Some(1000),
        ),
        (
            "two bull puts on two dates, by the page's words",
            vec![p(50, -1), p(45, 1), leg(Put, 50, FAR, -1), leg(Put, 45, FAR, 1)],
            Some(500),
        ),
        ("long calendar", vec![c(100, -1), leg(Call, 100, FAR, 1)], Some(0)),
        ("reverse calendar", vec![c(100, 1), leg(Call, 100, FAR, -1)], None),
        ("nothing", vec![], Some(0)),
    ];
    for (name, legs, expected) in rows {
        assert_eq!(margin(legs), *expected, "{name}");
    }
}

#[test]
fn the_other_reading_of_dates() {
    let both = [p(50, -1), p(45, 1), leg(Put, 50, FAR, -1), leg(Put, 45, FAR, 1)];
    let found = requirement(&both, 0, Expirations::FromDate).unwrap();
    assert_eq!((found.amount / NANO, found.expiry), (1000, NEAR));
    let calendar = [c(100, -1), leg(Call, 100, FAR, 1)];
    assert_eq!(requirement(&calendar, 0, Expirations::FromDate).unwrap().amount, 0);
    let reverse = [c(100, 1), leg(Call, 100, FAR, -1)];
    assert_eq!(requirement(&reverse, 0, Expirations::FromDate), Err(Uncovered { expiry: FAR, contracts: 1 }));
}

#[test]
fn the_worst_price_is_named() {
    let found = requirement(&[c(100, -1), c(110, 2)], 0, Expirations::PerDate).unwrap();
    assert_eq!((found.price, found.expiry), (110_000, NEAR));
    assert_eq!(requirement(&[p(100, -1)], 0, Expirations::PerDate).unwrap().price, 0);
    assert_eq!(requirement(&[p(95, -1), p(90, 1)], 0, Expirations::PerDate).unwrap().price, 90_000);
}

#[test]
fn shares_cover_calls() {
    assert_eq!(requirement(&[c(100, -2)], 200, Expirations::PerDate).unwrap().amount, 0);
    let short = requirement(&[c(100, -2)], 199, Expirations::PerDate);
    assert_eq!(short, Err(Uncovered { expiry: NEAR, contracts: 1 }));
    // Shares that no call needs help nothing else.
    assert_eq!(requirement(&[p(100, 2), p(105, -1)], 100, Expirations::PerDate).unwrap().amount, 500 * NANO);
    assert_eq!(requirement(&[c(100, -1), c(105, 1)], 100, Expirations::PerDate).unwrap().amount, 500 * NANO);
    assert!(requirement(&[c(100, -1)], -500, Expirations::PerDate).is_err(), "short shares cover nothing");
}

/// An independent reading: at every price from 0 to beyond the last strike, step by step, one option after the other.
fn brute(legs: &[Leg]) -> i128 {
    let top = legs.iter().map(|leg| leg.contract.strike).max().unwrap_or(0) / 1000 + 1;
    let mut worst = 0;
    for price in 0..=i128::from(top) {
        let mut sum = 0;
        for leg in legs {
            let strike = i128::from(leg.contract.strike / 1000);
            let value = match leg.contract.right {
                Call => (price - strike).max(0),
                Put => (strike - price).max(0),
            };
            sum += value * i128::from(leg.qty);
        }
        worst = worst.max(-sum);
    }
    worst * 100
}

fn any_leg(expiries: &'static [i32]) -> impl Strategy<Value = Leg> {
    (any::<bool>(), 1..60_i64, prop::sample::select(expiries), -6..=6_i64)
        .prop_map(|(call, strike, expiry, qty)| leg(if call { Call } else { Put }, strike, expiry, qty))
}

fn legs(expiries: &'static [i32], most: usize) -> impl Strategy<Value = Vec<Leg>> {
    prop::collection::vec(any_leg(expiries), 0..most)
}

const DATES: &[i32] = &[NEAR, FAR, 250_131];

fn reading() -> impl Strategy<Value = Expirations> {
    prop::sample::select(&[Expirations::PerDate, Expirations::FromDate][..])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn one_date_equals_the_brute_force(legs in legs(&[NEAR], 12)) {
        let calls: i64 = legs.iter().filter(|leg| leg.contract.right == Call).map(|leg| leg.qty).sum();
        match requirement(&legs, 0, Expirations::PerDate) {
            Ok(found) => prop_assert_eq!(found.amount, brute(&legs) * NANO),
            Err(found) => prop_assert_eq!(found.contracts, -calls),
        }
    }

    /// Whichever short calls the shares stand for, it is never less than with the cheapest choice of them.
    #[test]
    fn with_shares_it_is_what_is_left_or_more(legs in legs(&[NEAR], 8), shares in 0..900_i64) {
        let calls: i64 = legs.iter().filter(|leg| leg.contract.right == Call).map(|leg| leg.qty).sum();
        let needed = (-calls).max(0);
        match requirement(&legs, shares, Expirations::PerDate) {
            Err(found) => prop_assert_eq!(found.contracts, needed - shares / 100),
            Ok(found) => {
                let mut cheapest = legs.clone();
                cheapest.sort_by_key(|leg| leg.contract.strike);
                let mut left = needed;
                for leg in cheapest.iter_mut().filter(|leg| leg.contract.right == Call && leg.qty < 0) {
                    let taken = left.min(-leg.qty);
                    leg.qty += taken;
                    left -= taken;
                }
                prop_assert!(found.amount >= brute(&cheapest) * NANO);
            }
        }
    }

    #[test]
    fn both_readings_refuse_the_same(legs in legs(DATES, 10), shares in 0..900_i64) {
        let literal = requirement(&legs, shares, Expirations::PerDate);
        let alive = requirement(&legs, shares, Expirations::FromDate);
        prop_assert_eq!(literal.is_ok(), alive.is_ok());
    }

    #[test]
    fn never_negative_and_the_order_of_legs_is_nothing(mut legs in legs(DATES, 10), reading in reading()) {
        let found = requirement(&legs, 0, reading);
        prop_assert!(found.is_err() || found.unwrap().amount >= 0);
        legs.reverse();
        prop_assert_eq!(found.map(|f| f.amount).ok(), requirement(&legs, 0, reading).map(|f| f.amount).ok());
    }

    #[test]
    fn splitting_a_leg_is_nothing(legs in legs(DATES, 10), reading in reading()) {
        let mut split = Vec::new();
        for one in &legs {
            let part = one.qty / 2;
            split.push(Leg { qty: part, ..*one });
            split.push(Leg { qty: one.qty - part, ..*one });
        }
        let amount = |legs: &[Leg]| requirement(legs, 0, reading).map(|found| found.amount).ok();
        prop_assert_eq!(amount(&legs), amount(&split));
    }

    #[test]
    fn a_long_never_raises_it(legs in legs(DATES, 10), more in any_leg(DATES), reading in reading()) {
        let long = Leg { qty: more.qty.abs(), ..more };
        let with: Vec<Leg> = legs.iter().copied().chain([long]).collect();
        if let Ok(before) = requirement(&legs, 0, reading) {
            let after = requirement(&with, 0, reading);
            prop_assert!(after.is_ok_and(|after| after.amount <= before.amount), "{:?} → {:?}", before, after);
        }
    }

    #[test]
    fn shares_never_raise_it(legs in legs(DATES, 10), shares in 0..500_i64, more in 0..500_i64, reading in reading()) {
        if let Ok(before) = requirement(&legs, shares, reading) {
            let after = requirement(&legs, shares + more, reading);
            prop_assert!(after.is_ok_and(|after| after.amount <= before.amount));
        }
    }

    #[test]
    fn linear_in_size(legs in legs(DATES, 10), times in 1..50_i64, reading in reading()) {
        let many: Vec<Leg> = legs.iter().map(|one| Leg { qty: one.qty * times, ..*one }).collect();
        let amount = |legs: &[Leg]| requirement(legs, 0, reading).map(|found| found.amount).ok();
        prop_assert_eq!(amount(&legs).map(|amount| amount * i128::from(times)), amount(&many));
    }

    #[test]
    fn two_positions_cost_no_more_together(a in legs(&[NEAR], 8), b in legs(&[NEAR], 8)) {
        let both: Vec<Leg> = a.iter().chain(&b).copied().collect();
        let amount = |legs: &[Leg]| requirement(legs, 0, Expirations::PerDate).map(|found| found.amount);
        if let (Ok(a), Ok(b), Ok(both)) = (amount(&a), amount(&b), amount(&both)) {
            prop_assert!(both <= a + b);
        }
    }
}
