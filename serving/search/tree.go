package search

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Tree sizes a tree search.
type Tree struct {
	Branch int     // continuations that are written at a node
	Budget int     // tokens for each problem
	Bonus  float64 // c of PUCT, how much is tried that the writer finds likely; 0 means 0.1, which suits scores from 0 to 1 and some hundred tokens
}

// node is a text in the tree.
type node struct {
	text     Text
	prior    float64 // the writer's share of probability among its siblings
	visits   int
	sum      float64 // of the values below it
	children []*node
	rounds   int // times that steps were written behind it
}

// grows tells whether more steps are written behind a node rather than those that it has followed: at first, and again whenever its visits have grown with
// the square of the rounds (progressive widening, Coulom 2007), since what was drawn may lack the right one.
func (n *node) grows(branch int) bool {
	return !n.text.Over() && (n.rounds == 0 || n.visits > 2*branch*n.rounds*n.rounds)
}

func (n *node) mean() float64 {
	if n.visits == 0 {
		return 0
	}
	return n.sum / float64(n.visits)
}

// tree is the search for one problem.
type tree struct {
	root  *node
	spent int
	draws int
	best  Outcome // the best text that has ended
	found bool
	done  bool
}

// MCTS grows a tree of steps (Monte Carlo tree search with PUCT, Silver et al. 2017): it goes down by Q + c P sqrt(N) / (1 + n), writes the steps behind the
// leaf that it comes to, and takes the verifier's score of each as its value, in place of playing on. It ends when the budget is spent, and chooses the
// best text that has ended; where none has, it writes the most visited one to its end.
func (s *Searcher) MCTS(ctx context.Context, o Tree) ([]Outcome, error) {
	if o.Branch < 1 || o.Budget < 1 || o.Bonus < 0 {
		return nil, fmt.Errorf("a tree with %d branches, a budget of %d tokens and a bonus of %v: give positive numbers", o.Branch, o.Budget, o.Bonus)
	}
	if s.Verifier == nil {
		return nil, errVerifier
	}
	if o.Bonus == 0 {
		o.Bonus = 0.1
	}
	trees := make([]*tree, s.Problems)
	for p := range trees {
		trees[p] = &tree{root: &node{text: Text{Problem: p}}}
	}
	for {
		paths, from := s.leaves(trees, o)
		if len(paths) == 0 {
			break
		}
		written, err := s.Writer.Write(ctx, from)
		if err != nil {
			return nil, err
		}
		if err := s.expand(ctx, trees, paths, written); err != nil {
			return nil, err
		}
	}
	return s.finish(ctx, trees)
}

// idle bounds how often a search may come to ended texts in a row: then there is nothing left that it would rather see.
const idle = 64

// leaves go down every tree that has budget left, to a leaf that can grow.
func (s *Searcher) leaves(trees []*tree, o Tree) (paths [][]*node, from []Beginning) {
	for p, t := range trees {
		for tries := 0; !t.done; tries++ {
			if t.spent >= o.Budget || tries == idle {
				t.done = true
				break
			}
			path := t.descend(o)
			leaf := path[len(path)-1]
			if leaf.text.Over() {
				backUp(path, leaf.mean())
				continue
			}
			t.draws++
			paths = append(paths, path)
			from = append(from, Beginning{Text: leaf.text, Samples: o.Branch, Seed: s.seed(p, t.draws)})
			break
		}
	}
	return paths, from
}

// descend follows the largest bound from the root to a node that grows, or to an ended text.
func (t *tree) descend(o Tree) []*node {
	path := []*node{t.root}
	for n := t.root; !n.grows(o.Branch) && len(n.children) > 0; path = append(path, n) {
		var next *node
		most := math.Inf(-1)
		for _, c := range n.children {
			bound := c.mean() + o.Bonus*c.prior*math.Sqrt(float64(n.visits))/float64(1+c.visits)
			if bound > most {
				next, most = c, bound
			}
		}
		n = next
	}
	return path
}

func backUp(path []*node, value float64) {
	for _, n := range path {
		n.visits++
		n.sum += value
	}
}

// expand hangs what was written behind its leaf, judges it, and carries the values up.
func (s *Searcher) expand(ctx context.Context, trees []*tree, paths [][]*node, written [][][]Step) error {
	var texts []Text
	var owners []int
	var fresh []*node
	for i, path := range paths {
		leaf := path[len(path)-1]
		t := trees[leaf.text.Problem]
		leaf.rounds++
		known := len(leaf.children)
		for _, steps := range written[i] {
			step := steps[0]
			t.spent += step.Cost
			if !slices.ContainsFunc(leaf.children, func(c *node) bool {
				last := c.text.Steps[len(c.text.Steps)-1]
				return slices.Equal(last.Tokens, step.Tokens) && last.Ended == step.Ended
			}) {
				leaf.children = append(leaf.children, &node{text: leaf.text.and(step)})
			}
		}
		leaf.share()
		for _, c := range leaf.children[known:] {
			texts, owners, fresh = append(texts, c.text), append(owners, i), append(fresh, c)
		}
	}
	scores, err := s.judge(ctx, texts)
	if err != nil {
		return err
	}
	for k, score := range scores {
		child := fresh[k]
		backUp(append(slices.Clip(paths[owners[k]]), child), score)
		t := trees[child.text.Problem]
		if child.text.Over() && (!t.found || score > t.best.Score) {
			t.best, t.found = Outcome{Text: child.text, Score: score}, true
		}
	}
	return nil
}

// share divides the prior among children by their probability.
func (n *node) share() {
	largest, sum := math.Inf(-1), 0.0
	last := func(c *node) float64 { return c.text.Steps[len(c.text.Steps)-1].LogProb }
	for _, c := range n.children {
		largest = max(largest, last(c))
	}
	for _, c := range n.children {
		c.prior = math.Exp(last(c) - largest)
		sum += c.prior
	}
	for _, c := range n.children {
		c.prior /= sum
	}
}

// finish chooses, and writes to the end what has none.
func (s *Searcher) finish(ctx context.Context, trees []*tree) ([]Outcome, error) {
	out := make([]Outcome, len(trees))
	var open []Beginning
	for p, t := range trees {
		out[p] = t.best
		out[p].Spent = t.spent
		if t.found {
			continue
		}
		n := t.root
		for len(n.children) > 0 {
			next := n.children[0]
			for _, c := range n.children {
				if c.visits > next.visits || c.visits == next.visits && c.mean() > next.mean() {
					next = c
				}
			}
			n = next
		}
		out[p].Text, out[p].Score = n.text, n.mean()
		t.draws++
		open = append(open, Beginning{Text: n.text, Samples: 1, Seed: s.seed(p, t.draws), Whole: true})
	}
	if len(open) == 0 {
		return out, nil
	}
	written, err := s.Writer.Write(ctx, open)
	if err != nil {
		return nil, err
	}
	for i, b := range open {
		steps := written[i][0]
		out[b.Problem].Spent += cost(steps)
		out[b.Problem].Text = Text{b.Problem, append(slices.Clip(b.Steps), steps...)}
	}
	return out, nil
}
