//! Whether orders keep to what binds positions, gross exposure and open orders.

use super::{Book, Bounds, Breach, Candidate, Level, Owner, Part};
use crate::exposure::{Wrong, plus, times};

impl Book {
    /// Hold candidates against what binds them, in the order: positions, gross exposure (by `gross`, in the place of the
    /// bounds' own), and, where they are `new`, the orders that work.
    pub fn check(
        &self,
        account: u32,
        strategy: u32,
        candidates: &[Candidate<'_>],
        bounds: &Bounds,
        gross: &[(Level, i128)],
        new: bool,
    ) -> Result<Option<Breach>, Wrong> {
        let whole = Owner { account, strategy: None };
        let share = Owner { account, strategy: Some(strategy) };
        for (bound, owner, level) in
            [(bounds.position_of_account, whole, Level::Account), (bounds.position_of_strategy, share, Level::Strategy)]
        {
            if let Some(most) = bound
                && let Some(breach) = self.positions(owner, level, candidates, most)?
            {
                return Ok(Some(breach));
            }
        }
        for (bound, (level, most)) in gross.iter().enumerate() {
            let owner = if *level == Level::Strategy { share } else { whole };
            let mut others = 0;
            if *level == Level::Node {
                for each in self.owners.keys().filter(|each| each.strategy.is_none() && each.account != account) {
                    match self.total(each.account, None) {
                        Ok(total) => others = plus(others, total)?,
                        Err(instrument) => return Ok(Some(Breach::GrossUnpriced { bound, instrument })),
                    }
                }
            }
            match self.after(owner, candidates)? {
                Err(instrument) => return Ok(Some(Breach::GrossUnpriced { bound, instrument })),
                Ok((before, after)) if after > before && plus(after, others)? > *most => {
                    let (before, after) = (plus(before, others)?, plus(after, others)?);
                    return Ok(Some(Breach::Gross { bound, before, after }));
                }
                Ok(_) => {}
            }
        }
        for (bound, (level, most)) in bounds.open_orders.iter().enumerate().filter(|_| new) {
            let working = match level {
                Level::Node => self.orders(None, None),
                Level::Account => self.orders(Some(account), None),
                Level::Strategy => self.orders(Some(account), Some(strategy)),
            };
            if working + candidates.iter().filter(|each| !each.leg).count() > *most {
                return Ok(Some(Breach::OpenOrders { bound, working }));
            }
        }
        Ok(None)
    }

    fn positions(
        &self,
        owner: Owner,
        level: Level,
        candidates: &[Candidate<'_>],
        most: i128,
    ) -> Result<Option<Breach>, Wrong> {
        for (index, candidate) in candidates.iter().enumerate() {
            let Candidate { instrument, buy, of, .. } = *candidate;
            if candidates[..index].iter().any(|each| each.instrument == instrument && each.buy == buy) {
                continue;
            }
            // All together were found not to reduce the account's positions; one instrument of several may, or a
            // strategy's share.
            let known = owner.strategy.is_none() && candidates.len() == 1;
            if !known && self.reduces(owner.account, owner.strategy, instrument, candidates)? {
                continue;
            }
            let part = self.part(owner, instrument);
            let held = part.map_or(0, |part| part.held);
            let sum = self.sum(part, instrument, buy, candidates)?;
            let market = self.market(instrument)?;
            let worst = sum.worst(held, market.marks[usize::from(buy)], buy)?;
            let (Some(worst), Some(multiplier), Some(qty)) = (worst, market.multiplier, candidate.qty) else {
                return Ok(Some(Breach::PositionUnpriced { level, candidate: of }));
            };
            let worst = times(worst, multiplier)?;
            if worst > most {
                let working = (sum.qty - qty).max(0);
                return Ok(Some(Breach::Position { level, candidate: of, instrument, worst, held, working }));
            }
        }
        Ok(None)
    }

    /// The gross exposure now and once the candidates could be filled too; Err with an instrument without a price.
    fn after(&self, owner: Owner, candidates: &[Candidate<'_>]) -> Result<Result<(i128, i128), u32>, Wrong> {
        let before = match self.total(owner.account, owner.strategy) {
            Ok(before) => before,
            Err(instrument) => return Ok(Err(instrument)),
        };
        let mut after = before;
        for (index, candidate) in candidates.iter().enumerate() {
            let instrument = candidate.instrument;
            if candidate.qty.is_none() {
                return Ok(Err(instrument));
            }
            if self.is_spread(instrument) {
                continue; // its contracts are candidates too
            }
            if candidates[..index].iter().any(|each| each.instrument == instrument) {
                continue;
            }
            let part = self.part(owner, instrument);
            let was = part.map_or(Some(0), Part::gross).unwrap_or(0);
            let mut would = 0;
            for buy in [false, true] {
                let moved = candidates.iter().any(|each| each.instrument == instrument && each.buy == buy);
                let worst = if moved {
                    let sum = self.sum(part, instrument, buy, candidates)?;
                    self.worst(part, instrument, &sum, buy)?
                } else {
                    part.map_or(Some(0), |part| part.worst[usize::from(buy)])
                };
                let Some(worst) = worst else { return Ok(Err(instrument)) };
                would = worst.max(would);
            }
            after = plus(after - was, would)?;
        }
        Ok(Ok((before, after)))
    }
}
