//! Circles in a graph of what waits for what.

/// The circles that a walk over the graph closes, each from the first node that was met to the one that leads back to it. `waits_for[a]` are the nodes that must come before `a`.
pub(crate) fn find(waits_for: &[Vec<usize>]) -> Vec<Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut states = vec![State::New; waits_for.len()];
    let mut circles = Vec::new();
    for start in 0..waits_for.len() {
        // Node and how many of its edges were followed; on a heap, because chains can be long.
        let mut path: Vec<(usize, usize)> = vec![(start, 0)];
        if states.get(start) != Some(&State::New) {
            continue;
        }
        while let Some((node, followed)) = path.last_mut() {
            let node = *node;
            if let Some(state) = states.get_mut(node) {
                *state = State::Open;
            }
            let next = waits_for.get(node).and_then(|edges| edges.get(*followed)).copied();
            *followed += 1;
            match next.map(|next| (next, states.get(next).copied())) {
                None => {
                    if let Some(state) = states.get_mut(node) {
                        *state = State::Done;
                    }
                    path.pop();
                }
                Some((next, Some(State::New))) => path.push((next, 0)),
                Some((next, Some(State::Open))) => {
                    let from = path.iter().position(|(node, _)| *node == next).unwrap_or_default();
                    circles.push(path.iter().skip(from).map(|(node, _)| *node).collect());
                }
                Some(_) => {}
            }
        }
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_nothing_else() {
        assert_eq!(find(&[vec![1], vec![2], vec![]]), [] as [Vec<usize>; 0]);
        assert_eq!(find(&[vec![1, 2], vec![2], vec![3], vec![1]]), [vec![1, 2, 3]]);
        assert_eq!(find(&[vec![0]]), [vec![0]]);
        let long: Vec<Vec<usize>> = (0..100_000).map(|node| vec![(node + 1) % 100_000]).collect();
        assert_eq!(find(&long).len(), 1);
    }
}
