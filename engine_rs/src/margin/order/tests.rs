use super::*;
use crate::margin::NANO;
use Intent::{BuyToClose, BuyToOpen, SellToClose, SellToOpen};
use Right::{Call, Put};

const NEAR: i32 = 250_117;
const FAR: i32 = 250_124;

fn leg(right: Right, dollars: i64, expiry: i32, qty: i64) -> Leg {
    Leg::new(right, dollars * 1_000, expiry, qty).unwrap()
}

fn ordered(right: Right, dollars: i64, expiry: i32, ratio: i64, intent: Intent) -> OrderLeg {
    let held = match intent {
        BuyToClose => -10,
        SellToClose => 10,
        _ => 0,
    };
    OrderLeg { contract: leg(right, dollars, expiry, 0).contract, ratio, intent, held }
}

fn cost(legs: &[Leg], cents: i128, qty: i64) -> i128 {
    cost_basis(&[], legs, (0, 0), cents * NANO / 100, qty, Expirations::PerDate).unwrap().amount / NANO
}

/// Alpaca's worked example, its error examples, and the rows that follow from its order payloads.
#[test]
fn worked_cost_bases() {
    let c = |strike, qty| leg(Call, strike, NEAR, qty);
    let p = |strike, qty| leg(Put, strike, NEAR, qty);
    assert_eq!(cost(&[c(200, 1), c(190, -1)], -500, 1), 500, "worked: credit spread");
    assert_eq!(cost(&[c(190, 1), c(210, -1)], 100, 1), 100);
    assert_eq!(cost(&[p(210, 1), p(190, -1)], 125, 1), 125);
    let condor = [p(190, 1), p(195, -1), c(205, -1), c(210, 1)];
    assert_eq!(cost(&condor, -180, 1), 320);
    assert_eq!(cost(&condor, 180, 1), 680, "a positive limit is paid");
    assert_eq!(cost(&[p(200, 1), c(250, 1)], 60, 1), 60);
    assert_eq!(cost(&[c(200, 1), c(205, -1), c(210, -1), c(215, 1)], 205, 1), 205);
    assert_eq!(cost(&[c(100, 100)], 380, 100), 38_000, "error example");
    assert_eq!(cost(&[p(205, -1)], -190, 1), 20_310, "error example: cash-secured put");
    assert_eq!(cash_secured_put(205_000, 190 * NANO / 100, 1), 20_310 * NANO);
    assert_eq!(
        cost_basis(&[], &[c(100, 1), c(110, -2)], (0, 0), 0, 1, Expirations::PerDate),
        Err(Uncovered { expiry: NEAR, contracts: 1 })
    );
}

#[test]
fn covered_calls_need_their_shares() {
    let call = [leg(Call, 100, NEAR, -1)];
    let covered = cost_basis(&[], &call, (100, 100), -NANO, 1, Expirations::PerDate).unwrap();
    assert_eq!(covered.amount, 0);
    assert!(cost_basis(&[], &call, (99, 99), -NANO, 1, Expirations::PerDate).is_err());
    // Selling the shares under a short call uncovers it.
    assert!(cost_basis(&call, &[], (100, 0), 0, 1, Expirations::PerDate).is_err());
}

#[test]
fn what_is_held_counts() {
    let held = [leg(Call, 190, NEAR, -1), leg(Call, 200, NEAR, 1)];
    let more = cost_basis(&held, &[leg(Call, 210, NEAR, 1)], (0, 0), 3 * NANO, 1, Expirations::PerDate).unwrap();
    assert_eq!((more.before.amount, more.after.amount, more.amount), (1000 * NANO, 1000 * NANO, 300 * NANO));
    let closing = [leg(Call, 190, NEAR, 1), leg(Call, 200, NEAR, -1)];
    let closed = cost_basis(&held, &closing, (0, 0), 6 * NANO, 1, Expirations::PerDate).unwrap();
    assert_eq!((closed.after.amount, closed.amount), (0, 0), "it gives more back than it costs");
    // Buying back the long leg alone is not possible: the short call would stand uncovered.
    assert!(cost_basis(&held, &[leg(Call, 200, NEAR, -1)], (0, 0), 0, 1, Expirations::PerDate).is_err());
}

#[test]
fn shapes_of_orders() {
    let open = |strike, intent| ordered(Call, strike, NEAR, 1, intent);
    let spread = [open(190, BuyToOpen), open(210, SellToOpen)];
    assert_eq!(validate(&spread, 1, 3), Ok(()));
    assert_eq!(validate(&spread, 1, 2), Err(Refusal::Level));
    let held = |strike, intent, held| OrderLeg { held, ..ordered(Call, strike, NEAR, 1, intent) };
    let closing = [held(190, SellToClose, 1), held(210, BuyToClose, -1)];
    assert_eq!(validate(&closing[..1], 1, 1), Ok(()), "a contract is closed at any level but 0");
    assert_eq!(validate(&[closing[1], open(200, BuyToOpen)], 1, 2), Err(Refusal::Level));
    assert_eq!(validate(&spread[..1], 1, 2), Ok(()));
    assert_eq!(validate(&spread[..1], 1, 1), Err(Refusal::Level));
    assert_eq!(validate(&spread[1..], 1, 1), Ok(()), "whether it is covered is the requirement's to say");
    assert_eq!(validate(&spread[1..], 1, 0), Err(Refusal::Level));
    assert_eq!(validate(&[open(190, BuyToOpen), open(190, SellToOpen)], 1, 3), Err(Refusal::DuplicateLeg));
    assert_eq!(validate(&[], 1, 3), Err(Refusal::LegCount));
    assert_eq!(
        validate(
            &[open(1, BuyToOpen), open(2, BuyToOpen), open(3, BuyToOpen), open(4, BuyToOpen), open(5, BuyToOpen)],
            1,
            3
        ),
        Err(Refusal::LegCount)
    );
    let twice = [OrderLeg { ratio: 4, ..spread[0] }, OrderLeg { ratio: 2, ..spread[1] }];
    assert_eq!(validate(&twice, 1, 3), Err(Refusal::Ratio));
    assert_eq!(validate(&[spread[0], OrderLeg { ratio: 2, ..spread[1] }], 1, 3), Err(Refusal::LegUncovered));
    assert_eq!(validate(&spread, 0, 3), Err(Refusal::Quantity));
    assert_eq!(validate(&[open(190, SellToClose)], 11, 1), Err(Refusal::Intent));
    assert_eq!(validate(&[open(190, SellToClose)], 10, 1), Ok(()));
}

/// What is known of which orders in several legs are taken, by the rule that explains all of it.
#[test]
fn cover_inside_the_order() {
    let near = |strike, intent| ordered(Call, strike, NEAR, 1, intent);
    let far = |strike, intent| ordered(Call, strike, FAR, 1, intent);
    assert_eq!(validate(&[near(190, SellToClose), near(210, BuyToClose)], 1, 3), Ok(()), "a spread closes");
    assert_eq!(validate(&[near(100, SellToOpen), far(100, BuyToOpen)], 1, 3), Ok(()), "a long calendar opens");
    let closing = [near(100, BuyToClose), far(100, SellToClose)];
    assert_eq!(validate(&closing, 1, 3), Err(Refusal::LegUncovered), "and can't be closed in one");
    let straddle = [near(100, SellToClose), ordered(Put, 100, NEAR, 1, SellToClose)];
    assert_eq!(validate(&straddle, 1, 3), Err(Refusal::LegUncovered));
    let rolled = [near(200, BuyToClose), far(200, SellToOpen)];
    assert_eq!(validate(&rolled, 1, 3), Err(Refusal::LegUncovered), "one short contract is not rolled");
    let spread = [near(200, BuyToClose), near(205, SellToClose), far(200, SellToOpen), far(205, BuyToOpen)];
    assert_eq!(validate(&spread, 1, 3), Ok(()), "a spread is");
}

#[test]
fn intents_are_told_by_what_is_held() {
    assert_eq!(Intent::infer(true, 0, 1), Some(BuyToOpen));
    assert_eq!(Intent::infer(true, -2, 2), Some(BuyToClose));
    assert_eq!(Intent::infer(true, -2, 3), None);
    assert_eq!(Intent::infer(false, 2, 2), Some(SellToClose));
    assert_eq!(Intent::infer(false, -1, 2), Some(SellToOpen));
}
