//! The least that a fair placement costs: the framework with the smallest share from a heap, the agent from a tree that
//! holds the largest free cpus and memory below each node. Two plain numbers for each agent, no roles, no ports.

use base::Rng;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    time::Instant,
};

struct Free {
    leaves: usize,
    nodes: Vec<(u32, u32)>,
}

impl Free {
    fn new(agents: usize) -> Self {
        let leaves = agents.next_power_of_two();
        let mut nodes = vec![(0, 0); 2 * leaves];
        nodes[leaves..leaves + agents].fill((3_200, 12_800));
        let mut tree = Self { leaves, nodes };
        (1..leaves).rev().for_each(|at| tree.pull(at));
        tree
    }
    fn pull(&mut self, at: usize) {
        let (left, right) = (self.nodes[2 * at], self.nodes[2 * at + 1]);
        self.nodes[at] = (left.0.max(right.0), left.1.max(right.1));
    }
    fn find(&self, cpus: u32, mem: u32) -> Option<usize> {
        let fits = |at: usize| self.nodes[at].0 >= cpus && self.nodes[at].1 >= mem;
        let mut stack = vec![1];
        while let Some(at) = stack.pop() {
            if !fits(at) {
                continue;
            }
            if at >= self.leaves {
                return Some(at - self.leaves);
            }
            stack.extend([2 * at + 1, 2 * at]);
        }
        None
    }
    fn change(&mut self, agent: usize, change: impl FnOnce(&mut (u32, u32))) {
        let mut at = agent + self.leaves;
        change(&mut self.nodes[at]);
        while at > 1 {
            at /= 2;
            self.pull(at);
        }
    }
}

/// Placements per second: place for the framework with the smallest share, then end the oldest.
pub fn placements(agents: usize, frameworks: usize, steps: usize) -> f64 {
    let mut rng = Rng::from_number(7);
    let mut free = Free::new(agents);
    let mut shares: BinaryHeap<Reverse<(u64, usize)>> = (0..frameworks).map(|f| Reverse((0, f))).collect();
    let mut running: VecDeque<(usize, u32, u32)> = VecDeque::new();
    let begun = Instant::now();
    for _ in 0..steps {
        let (cpus, mem) = (10 + rng.below(390) as u32, 40 + rng.below(1_560) as u32);
        let Some(Reverse((share, framework))) = shares.pop() else { break };
        if let Some(agent) = free.find(cpus, mem) {
            free.change(agent, |f| *f = (f.0 - cpus, f.1 - mem));
            running.push_back((agent, cpus, mem));
        }
        shares.push(Reverse((share + u64::from(cpus), framework)));
        if running.len() > agents * 4
            && let Some((agent, cpus, mem)) = running.pop_front()
        {
            free.change(agent, |f| *f = (f.0 + cpus, f.1 + mem));
        }
    }
    steps as f64 / begun.elapsed().as_secs_f64()
}
