//! Output commit: nothing leaves the process before everything the run has written so far is durable.
//!
//! What leaves is a [`Durable<T>`], and only this file makes one.

use std::collections::VecDeque;

/// Proof that all entries up to the one this depends on are durable.
#[derive(Debug)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// What may leave.
    pub fn into_inner(self) -> T {
        self.0
    }

    /// What may leave.
    pub fn get(&self) -> &T {
        &self.0
    }
}

/// One run's gate. Things pass in the order they came.
#[derive(Debug)]
pub(crate) struct Gate<T> {
    durable: u32,
    held: VecDeque<(u32, T)>,
    /// Only the simulation's mutation test opens every gate, to see that its checks notice.
    broken: bool,
}

impl<T> Gate<T> {
    pub fn new(durable: u32, broken: bool) -> Self {
        Self { durable, held: VecDeque::new(), broken }
    }

    /// The one rule.
    pub fn may_leave(&self, seq: u32) -> bool {
        self.broken || seq <= self.durable
    }

    /// Something wants out that depends on entry `seq`.
    pub fn leave(&mut self, seq: u32, what: T) {
        self.held.push_back((seq, what));
    }

    /// Entries up to `seq` are durable.
    pub fn open_to(&mut self, seq: u32) {
        self.durable = self.durable.max(seq);
    }

    /// Takes back the first held thing that `is_it` names; false when it is out already, or never came.
    pub fn take_back(&mut self, is_it: impl Fn(&T) -> bool) -> bool {
        let found = self.held.iter().position(|(_, what)| is_it(what));
        found.and_then(|i| self.held.remove(i)).is_some()
    }

    /// The next thing that may leave now. A thing that depends on nothing does not wait behind those that do.
    pub fn pop(&mut self) -> Option<Durable<T>> {
        let i = self.held.iter().position(|(seq, _)| self.may_leave(*seq))?;
        self.held.remove(i).map(|(_, what)| Durable(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_before_its_entry_is_durable() {
        let mut gate = Gate::new(0, false);
        gate.leave(2, "intent 2");
        gate.leave(3, "intent 3");
        gate.leave(0, "pure");
        assert_eq!(gate.pop().map(Durable::into_inner), Some("pure"));
        gate.open_to(1);
        assert!(gate.pop().is_none());
        gate.open_to(3);
        assert_eq!(gate.pop().map(Durable::into_inner), Some("intent 2"));
        assert_eq!(gate.pop().map(Durable::into_inner), Some("intent 3"));
    }

    #[test]
    fn what_is_held_can_be_taken_back_and_what_is_out_cannot() {
        let mut gate = Gate::new(0, false);
        gate.leave(1, "a");
        gate.leave(2, "b");
        assert!(gate.take_back(|what| *what == "a"));
        assert!(!gate.take_back(|what| *what == "a"));
        gate.open_to(2);
        assert_eq!(gate.pop().map(Durable::into_inner), Some("b"));
        assert!(!gate.take_back(|what| *what == "b"));
    }
}
