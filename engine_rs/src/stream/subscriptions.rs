//! What is wanted, what the server confirmed, and the requests in between: one at a time, each answered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub type Channels = BTreeMap<String, BTreeSet<String>>;

/// A delta to send. `subscribe` false is unsubscribe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub subscribe: bool,
    pub channels: Channels,
}

#[derive(Debug, Default)]
pub struct Subscriptions {
    wanted: Channels,
    confirmed: Channels,
    queue: VecDeque<Request>,
    asked: Option<Request>,
    online: bool,
}

/// Symbols in one request: an answer lists all there are, so that few large requests are better than many small.
const CHUNK: usize = 1000;

impl Subscriptions {
    pub fn subscribe(&mut self, channel: &str, symbols: impl IntoIterator<Item = String>) {
        let wanted = self.wanted.entry(channel.to_owned()).or_default();
        let new: Vec<String> = symbols.into_iter().filter(|symbol| wanted.insert(symbol.clone())).collect();
        self.enqueue(true, channel, &new);
    }

    pub fn unsubscribe(&mut self, channel: &str, symbols: impl IntoIterator<Item = String>) {
        let Some(wanted) = self.wanted.get_mut(channel) else { return };
        let gone: Vec<String> = symbols.into_iter().filter(|symbol| wanted.remove(symbol)).collect();
        if wanted.is_empty() {
            self.wanted.remove(channel);
        }
        self.enqueue(false, channel, &gone);
    }

    fn enqueue(&mut self, subscribe: bool, channel: &str, symbols: &[String]) {
        if !self.online {
            return;
        }
        for chunk in symbols.chunks(CHUNK) {
            // Waiting requests of the same kind become one.
            match self
                .queue
                .back_mut()
                .filter(|last| last.subscribe == subscribe && size(&last.channels) + chunk.len() <= CHUNK)
            {
                Some(last) => last.channels.entry(channel.to_owned()).or_default().extend(chunk.iter().cloned()),
                None => {
                    let channels = Channels::from([(channel.to_owned(), chunk.iter().cloned().collect())]);
                    self.queue.push_back(Request { subscribe, channels });
                }
            }
        }
    }

    /// Authenticated: everything wanted is asked for anew.
    pub fn online(&mut self) {
        self.offline();
        self.online = true;
        for (channel, symbols) in self.wanted.clone() {
            let symbols: Vec<String> = symbols.into_iter().collect();
            self.enqueue(true, &channel, &symbols);
        }
    }

    pub fn offline(&mut self) {
        self.online = false;
        self.confirmed.clear();
        self.queue.clear();
        self.asked = None;
    }

    /// The next request to send; None while one waits for its answer.
    pub fn next_request(&mut self) -> Option<Request> {
        if self.asked.is_some() {
            return None;
        }
        self.asked = self.queue.pop_front();
        self.asked.clone()
    }

    /// The server said what is subscribed: all of it.
    pub fn acknowledged(&mut self, confirmed: Channels) {
        self.confirmed = confirmed;
        self.confirmed.retain(|_, symbols| !symbols.is_empty());
        self.asked = None;
    }

    /// The server refused the request that waits, which changes nothing there. A larger one is tried in halves, since
    /// one bad symbol or the plan's limit refuses the whole; a single symbol is given up. Says what was given up.
    pub fn refused(&mut self) -> Option<(String, String)> {
        let request = self.asked.take()?;
        let pairs: Vec<(String, String)> = request
            .channels
            .iter()
            .flat_map(|(channel, symbols)| symbols.iter().map(move |symbol| (channel.clone(), symbol.clone())))
            .collect();
        if pairs.len() > 1 {
            let (first, second) = pairs.split_at(pairs.len() / 2);
            for half in [second, first] {
                let mut channels = Channels::new();
                for (channel, symbol) in half {
                    channels.entry(channel.clone()).or_default().insert(symbol.clone());
                }
                self.queue.push_front(Request { subscribe: request.subscribe, channels });
            }
            return None;
        }
        let pair = pairs.into_iter().next()?;
        if request.subscribe
            && let Some(wanted) = self.wanted.get_mut(&pair.0)
        {
            wanted.remove(&pair.1);
        }
        Some(pair)
    }

    pub fn is_waiting(&self) -> bool {
        self.asked.is_some()
    }

    /// Nothing is left to ask or to be answered.
    pub fn is_settled(&self) -> bool {
        self.asked.is_none() && self.queue.is_empty()
    }

    pub fn confirmed(&self) -> &Channels {
        &self.confirmed
    }
}

fn size(channels: &Channels) -> usize {
    channels.values().map(BTreeSet::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(list: &[&str]) -> Vec<String> {
        list.iter().map(|symbol| (*symbol).to_owned()).collect()
    }

    fn channels(channel: &str, list: &[&str]) -> Channels {
        Channels::from([(channel.to_owned(), symbols(list).into_iter().collect())])
    }

    #[test]
    fn deltas_go_one_at_a_time_and_only_for_what_is_new() {
        let mut subs = Subscriptions::default();
        subs.online();
        subs.subscribe("quotes", symbols(&["A", "B"]));
        subs.subscribe("quotes", symbols(&["B", "C"]));
        let first = subs.next_request().unwrap();
        assert_eq!(first, Request { subscribe: true, channels: channels("quotes", &["A", "B", "C"]) });
        subs.unsubscribe("quotes", symbols(&["A", "X"]));
        assert_eq!(subs.next_request(), None);
        subs.acknowledged(channels("quotes", &["A", "B", "C"]));
        assert_eq!(subs.next_request().unwrap(), Request { subscribe: false, channels: channels("quotes", &["A"]) });
        subs.acknowledged(channels("quotes", &["B", "C"]));
        assert!(subs.is_settled());
        assert_eq!(subs.confirmed(), &channels("quotes", &["B", "C"]));
    }

    #[test]
    fn after_a_reconnect_all_that_is_wanted_is_asked_for() {
        let mut subs = Subscriptions::default();
        subs.subscribe("quotes", symbols(&["A"]));
        subs.subscribe("trades", symbols(&["A"]));
        assert_eq!(subs.next_request(), None);
        for _ in 0..2 {
            subs.online();
            let asked = subs.next_request().unwrap();
            assert_eq!(asked.channels.keys().collect::<Vec<_>>(), ["quotes", "trades"]);
            assert!(subs.confirmed().is_empty());
            subs.acknowledged(asked.channels);
        }
    }

    #[test]
    fn a_refused_request_is_tried_in_halves_until_the_culprit_is_alone() {
        let mut subs = Subscriptions::default();
        subs.online();
        subs.subscribe("quotes", symbols(&["A", "B", "BAD", "C"]));
        let mut confirmed = Channels::new();
        let mut given_up = Vec::new();
        while let Some(request) = subs.next_request() {
            if request.channels["quotes"].contains("BAD") {
                given_up.extend(subs.refused());
            } else {
                confirmed.entry("quotes".into()).or_default().extend(request.channels["quotes"].clone());
                subs.acknowledged(confirmed.clone());
            }
        }
        assert_eq!(given_up, [("quotes".to_owned(), "BAD".to_owned())]);
        assert_eq!(subs.confirmed(), &channels("quotes", &["A", "B", "C"]));
        subs.online();
        assert_eq!(subs.next_request().unwrap().channels, channels("quotes", &["A", "B", "C"]));
    }

    #[test]
    fn thousands_of_symbols_go_in_chunks() {
        let mut subs = Subscriptions::default();
        subs.subscribe("bars", (0..2500).map(|n| n.to_string()));
        subs.online();
        let mut sizes = Vec::new();
        while let Some(request) = subs.next_request() {
            sizes.push(size(&request.channels));
            subs.acknowledged(Channels::new());
        }
        assert_eq!(sizes, [1000, 1000, 500]);
    }
}
