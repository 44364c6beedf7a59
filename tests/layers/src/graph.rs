//! Components of a directed graph, and which arrows to remove so that they fall apart.

/// An arrow from one node to another.
pub(crate) type Arrow = (usize, usize);

/// The strongly connected components: sets of nodes that all lead to each other, the largest first.
pub(crate) fn components(nodes: usize, arrows: &[Arrow]) -> Vec<Vec<usize>> {
    let mut next = vec![Vec::new(); nodes];
    for (from, to) in arrows {
        next[*from].push(*to);
    }
    let mut search = Search {
        next,
        seen: vec![None; nodes],
        path: Vec::new(),
        is_open: vec![false; nodes],
        count: 0,
        found: Vec::new(),
    };
    for node in 0..nodes {
        if search.seen[node].is_none() {
            search.visit(node);
        }
    }
    search.found.sort_by_key(|component| std::cmp::Reverse(component.len()));
    search.found
}

/// Tarjan's search.
struct Search {
    next: Vec<Vec<usize>>,
    /// When a node was first visited.
    seen: Vec<Option<usize>>,
    /// Nodes whose component is not complete.
    path: Vec<usize>,
    is_open: Vec<bool>,
    count: usize,
    found: Vec<Vec<usize>>,
}

impl Search {
    /// Visits all that a node leads to. Returns the earliest node that is on the path and that it leads to.
    fn visit(&mut self, node: usize) -> usize {
        let order = self.count;
        self.count += 1;
        self.seen[node] = Some(order);
        self.path.push(node);
        self.is_open[node] = true;
        let mut earliest = order;
        for next in self.next[node].clone() {
            match self.seen[next] {
                None => earliest = earliest.min(self.visit(next)),
                Some(other) if self.is_open[next] => earliest = earliest.min(other),
                Some(_) => {}
            }
        }
        // A node that leads to none before it closes a component: all that came after it on the path.
        if earliest == order {
            let start = self
                .path
                .iter()
                .rposition(|other| *other == node)
                .expect("a node is on its path");
            let component = self.path.split_off(start);
            component.iter().for_each(|member| self.is_open[*member] = false);
            self.found.push(component);
        }
        earliest
    }
}

/// How to get a component down to a size.
pub(crate) enum Cut {
    /// Each of these arrows is enough by itself.
    AnyOf(Vec<Arrow>),
    /// All of these have to go. No one of them can stay, but a smaller set may exist.
    AllOf(Vec<Arrow>),
    /// So many have to go that only those are here that help most.
    Beginning(Vec<Arrow>),
}

/// Which arrows to remove so that no component has more than `max` nodes, if that takes no more than `removed_max`.
pub(crate) fn cut(nodes: usize, arrows: &[Arrow], max: usize, removed_max: usize) -> Cut {
    let without = |removed: &[Arrow]| -> Vec<Arrow> {
        arrows
            .iter()
            .copied()
            .filter(|arrow| !removed.contains(arrow))
            .collect()
    };
    let is_enough = |removed: &[Arrow]| components(nodes, &without(removed))[0].len() <= max;
    let single: Vec<_> = arrows.iter().copied().filter(|arrow| is_enough(&[*arrow])).collect();
    if !single.is_empty() {
        return Cut::AnyOf(single);
    }
    let mut removed = Vec::new();
    while !is_enough(&removed) {
        if removed.len() == removed_max {
            return Cut::Beginning(removed);
        }
        let left = without(&removed);
        let best = left
            .iter()
            .min_by_key(|arrow| tangle(nodes, &left, **arrow))
            .expect("arrows make the component");
        removed.push(*best);
    }
    // What was removed early may have become harmless by what was removed later.
    for arrow in removed.clone() {
        let others: Vec<_> = removed.iter().copied().filter(|other| *other != arrow).collect();
        if is_enough(&others) {
            removed = others;
        }
    }
    Cut::AllOf(removed)
}

/// How entangled the nodes are without one arrow: the number of pairs that lead to each other.
fn tangle(nodes: usize, arrows: &[Arrow], without: Arrow) -> usize {
    let arrows: Vec<_> = arrows.iter().copied().filter(|arrow| *arrow != without).collect();
    components(nodes, &arrows)
        .iter()
        .map(|component| component.len() * component.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_are_cycles_and_single_nodes() {
        let mut found = components(6, &[(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (4, 3), (4, 5)]);
        found.iter_mut().for_each(|component| component.sort_unstable());
        assert_eq!(found, [vec![0, 1, 2], vec![3, 4], vec![5]]);
    }

    /// Arrows from each of these nodes to all others.
    fn all_ways(nodes: std::ops::Range<usize>) -> Vec<Arrow> {
        nodes
            .clone()
            .flat_map(|from| nodes.clone().map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .collect()
    }

    #[test]
    fn one_arrow_can_be_enough() {
        // Two tangles that one arrow each way joins.
        let arrows = [all_ways(0..3), all_ways(3..6), vec![(0, 3), (4, 1)]].concat();
        assert!(matches!(cut(6, &arrows, 3, 6), Cut::AnyOf(cut) if cut == [(0, 3), (4, 1)]));
    }

    #[test]
    fn several_arrows_are_none_too_many() {
        // Six arrows of twelve can remain without a cycle.
        assert!(matches!(cut(4, &all_ways(0..4), 1, 12), Cut::AllOf(cut) if cut.len() == 6));
        assert!(matches!(cut(4, &all_ways(0..4), 1, 5), Cut::Beginning(cut) if cut.len() == 5));
    }
}
