//! All pages of a history, oldest first.

use super::client::{Client, Read};
use super::outcome::ReadError;
use crate::wire::Tick;
use crate::wire::history::{Rows, parse};

#[derive(Clone, Debug)]
pub struct History {
    pub rows: Rows,
    pub read: Read,
    pub symbol: String,
    /// 0 is all.
    pub limit: usize,
}

impl Client {
    pub(super) async fn history(&self, history: History) -> Result<Vec<Tick>, ReadError> {
        let newest_first = history.read.params.iter().any(|(key, value)| key == "sort" && value == "desc");
        let mut read = history.read;
        read.params.retain(|(key, _)| key != "page_token");
        let asked = read.params.len();
        let mut ticks = Vec::new();
        let mut token: Option<String> = None;
        for page_number in 1_usize.. {
            read.params.truncate(asked);
            if let Some(token) = &token {
                read.params.push(("page_token".into(), token.clone()));
            }
            let body = self.read(&read).await?;
            let page = parse(&body, history.rows, &history.symbol)
                .map_err(|fault| ReadError::unavailable(format!("{} page {page_number}: {fault}", read.path)))?;
            ticks.extend(page.ticks);
            if history.limit > 0 && ticks.len() >= history.limit {
                ticks.truncate(history.limit);
                break;
            }
            match page.next_token {
                None => break,
                // A token that leads to itself would never end.
                next if next == token => {
                    return Err(ReadError::unavailable(format!(
                        "{} page {page_number}: its next page is itself",
                        read.path
                    )));
                }
                next => token = next,
            }
        }
        if newest_first {
            ticks.reverse();
        }
        Ok(ticks)
    }
}
