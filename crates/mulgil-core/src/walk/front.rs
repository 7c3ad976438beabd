//! Where a walk is to be looked at. What is next of a walk follows from all of its steps; where there are ten
//! thousand, nobody can look at each whenever one ends. The front knows which of them a change may let begin.

use std::collections::{BTreeSet, HashMap};

use super::{Stage, Walk};
use crate::flow::{Flow, Step};

/// The steps of a walk that are to be looked at, and what it takes to know them. It follows from the walk and
/// its flow, and is told of every change of a step.
#[derive(Clone, Debug)]
pub struct Front {
    /// The place of each step in its flow, by name.
    places: HashMap<String, usize>,
    /// The places of the steps that need each.
    followers: Vec<Vec<usize>>,
    /// How many of its needs have not ended, of each step.
    unmet: Vec<usize>,
    /// Which steps have ended.
    ended: Vec<bool>,
    /// The steps that `finally` has.
    finally: Vec<usize>,
    /// Steps that have not ended and are not of `finally`.
    left: usize,
    /// Steps that have not ended.
    open: usize,
    look: BTreeSet<usize>,
    retrying: BTreeSet<usize>,
}

impl Front {
    /// The front of a walk that nobody has looked at: all that has not ended.
    pub fn new(flow: &Flow, walk: &Walk) -> Self {
        let steps = &flow.steps;
        let names = steps.iter().enumerate();
        let mut front = Self {
            places: names.map(|(place, step)| (step.name.clone(), place)).collect(),
            followers: vec![Vec::new(); steps.len()],
            unmet: vec![0; steps.len()],
            ended: vec![false; steps.len()],
            finally: (0..steps.len()).filter(|place| steps[*place].is_finally).collect(),
            left: steps.iter().filter(|step| !step.is_finally).count(),
            open: steps.len(),
            look: (0..steps.len()).collect(),
            retrying: BTreeSet::new(),
        };
        for (place, step) in steps.iter().enumerate() {
            let needs: Vec<usize> = step.needs.iter().filter_map(|need| front.place(need)).collect();
            for need in needs {
                front.followers[need].push(place);
                front.unmet[place] += 1;
            }
        }
        for (name, progress) in &walk.steps {
            front.changed(flow, name, progress.stage);
        }
        front
    }

    /// All that has not ended is looked at again: something changed that concerns every step.
    pub fn look_at_all(&mut self) {
        self.look = (0..self.ended.len()).filter(|place| !self.ended[*place]).collect();
    }

    /// The place of a step in its flow.
    pub fn place(&self, step: &str) -> Option<usize> {
        self.places.get(step).copied()
    }

    /// A step by its name, without a look at all of them.
    pub fn step<'f>(&self, flow: &'f Flow, step: &str) -> Option<&'f Step> {
        flow.steps.get(self.place(step)?)
    }

    /// The names of the steps that have ended before one begins, wherever they are behind it: what its templates
    /// may ask of.
    pub fn before<'f>(&self, flow: &'f Flow, step: &Step) -> BTreeSet<&'f str> {
        let names = flow.steps.iter().filter(|other| !other.is_finally);
        if step.is_finally {
            return names.map(|other| other.name.as_str()).collect();
        }
        let mut before = BTreeSet::new();
        let mut todo: Vec<&Step> = vec![step];
        while let Some(one) = todo.pop() {
            for need in one.needs.iter().filter_map(|need| self.place(need)) {
                let need = &flow.steps[need];
                if before.insert(need.name.as_str()) {
                    todo.push(need);
                }
            }
        }
        before
    }

    /// A step stands otherwise now. One that has ended stays so: a walk that is begun again has a new front.
    pub fn changed(&mut self, flow: &Flow, step: &str, stage: Stage) {
        let Some(place) = self.place(step) else { return };
        self.look.remove(&place);
        self.retrying.remove(&place);
        match stage {
            Stage::Running => {}
            Stage::Waiting => {
                self.look.insert(place);
            }
            Stage::Retrying { .. } => {
                self.retrying.insert(place);
            }
            Stage::Ended { .. } => self.end(flow, place),
        }
    }

    fn end(&mut self, flow: &Flow, place: usize) {
        if std::mem::replace(&mut self.ended[place], true) {
            return;
        }
        self.open -= 1;
        for follower in &self.followers[place] {
            self.unmet[*follower] -= 1;
            if self.unmet[*follower] == 0 && !self.ended[*follower] {
                self.look.insert(*follower);
            }
        }
        if !flow.steps[place].is_finally {
            self.left -= 1;
            if self.left == 0 {
                self.look
                    .extend(self.finally.iter().filter(|place| !self.ended[**place]));
            }
        }
    }

    /// The places to look at now; they are not given again unless something changes.
    pub(super) fn take(&mut self) -> BTreeSet<usize> {
        let mut places = std::mem::take(&mut self.look);
        places.extend(&self.retrying);
        places
    }

    /// The places that an end without an attempt may let begin or end, in the same look.
    pub(super) fn behind(&self, place: usize) -> impl Iterator<Item = usize> {
        self.followers[place].iter().copied()
    }

    /// Those of `finally`.
    pub(super) fn finally(&self) -> impl Iterator<Item = usize> {
        self.finally.iter().copied()
    }

    /// Whether no more than so many steps have not ended.
    pub(super) fn has_at_most(&self, open: usize) -> bool {
        self.open <= open
    }
}
