package model

import "cmp"

// Experts replace the MLP of a layer by a mixture (Kimi-VL and Moonlight, Moonshot
// 2025, after DeepSeek-V3): s = sigmoid(x R); the Active experts of highest s + b
// answer a token, b being the router's balance; their weights are their s divided by
// the sum of those and times Scale. Shared experts answer every token.
type Experts struct {
	Count  int `json:"count"`            // experts that the router chooses from
	Active int `json:"active"`           // that answer a token
	Shared int `json:"shared,omitempty"` // that answer every token, as one MLP of Shared Hidden
	Hidden int `json:"hidden"`           // width within one expert
	Dense  int `json:"dense,omitempty"`  // leading layers that have an ordinary MLP
	// Scale makes up for the weights being below 1.
	Scale float64 `json:"scale"`
	// BalanceRate u moves the balance after each step: b += u (sign(e) - mean sign(e)),
	// e being how far an expert is under its even share of tokens. FixedBalance keeps
	// b as it is, as in the last stage of a training.
	BalanceRate  float64 `json:"balance_rate"`
	FixedBalance bool    `json:"fixed_balance,omitempty"`
}

// resolve fills in what is 0: 8 experts of which 2 answer, together as wide as the
// dense MLP.
func (e Experts) resolve(hidden int) *Experts {
	e.Count = cmp.Or(e.Count, 8)
	e.Active = cmp.Or(e.Active, 2)
	e.Hidden = cmp.Or(e.Hidden, max(hidden/max(e.Active, 1), 1))
	e.Scale = cmp.Or(e.Scale, 2.446)
	e.BalanceRate = cmp.Or(e.BalanceRate, 1e-3)
	return &e
}

func (e Experts) validate(f *faults, t Text) {
	f.positive("text.experts.count", e.Count)
	f.positive("text.experts.active", e.Active)
	f.positive("text.experts.hidden", e.Hidden)
	if e.Active > e.Count {
		f.add("text.experts.active is %d of text.experts.count, %d: lower it", e.Active, e.Count)
	}
	if e.Shared < 0 || e.Dense < 0 || e.Dense >= max(t.Layers, 1) {
		f.add("text.experts has shared %d and dense %d of %d layers: give 0 or more, and leave a layer with experts", e.Shared, e.Dense, t.Layers)
	}
	if !(e.Scale > 0 && e.Scale < 1e3) || !(e.BalanceRate > 0 && e.BalanceRate < 1) {
		f.add("text.experts has scale %v and balance_rate %v: give positive numbers, such as 2.446 and 0.001", e.Scale, e.BalanceRate)
	}
	if t.MLP != Gated {
		f.add("text.experts needs text.mlp %q, it is %q: change it, or use form llama", Gated, t.MLP)
	}
}
