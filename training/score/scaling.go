package score

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// ScalingPoint is one trained model of a scaling run.
type ScalingPoint struct {
	Parameters float64 `json:"parameters"` // N
	Tokens     float64 `json:"tokens"`     // D, seen in training
	Loss       float64 `json:"loss"`       // on held-out data
	Error      float64 `json:"error"`      // standard error of the loss
}

// Scaling is the curve L(N, D) = E + A N^-alpha + B D^-beta (Hoffmann et al. 2022,
// equation 2), or without the last term where all models saw equally many tokens.
// A and B are given at the geometric means of N and D, as the loss that they add
// there, which is what the data tells about them.
type Scaling struct {
	Floor  Interval       `json:"floor"`  // E
	Size   Interval       `json:"size"`   // A
	Alpha  Interval       `json:"alpha"`  // exponent of N
	Data   *Interval      `json:"data"`   // B; nil where D is one
	Beta   *Interval      `json:"beta"`   // exponent of D
	MeanN  float64        `json:"mean_n"` // geometric means
	MeanD  float64        `json:"mean_d"`
	Worst  float64        `json:"worst"` // largest distance of a point from the curve
	Points []ScalingPoint `json:"points"`
}

// At is the loss that the curve gives a model of n parameters after d tokens.
func (s *Scaling) At(n, d float64) float64 {
	c := curve{floor: s.Floor.Mean, size: s.Size.Mean, alpha: s.Alpha.Mean}
	if s.Data != nil {
		c.data, c.beta = s.Data.Mean, s.Beta.Mean
	}
	return c.at(n/s.MeanN, d/s.MeanD)
}

// curve is a Scaling whose N and D are shares of their means.
type curve struct{ floor, size, alpha, data, beta float64 }

func (c curve) at(n, d float64) float64 {
	return c.floor + c.size*math.Pow(n, -c.alpha) + c.data*math.Pow(d, -c.beta)
}

// FitScaling fits the curve by least squares: the exponents by search, the three
// others, none of which is negative, as a linear problem. Its intervals, of 95 %,
// come from refitting after the losses were moved by their standard errors; they
// say how much the noise of the evaluation matters, not that of training.
//
// It needs three sizes, and where the tokens differ three numbers of those too.
func FitScaling(points []ScalingPoint, seed uint64) (*Scaling, error) {
	f := &scalingFit{}
	var sumN, sumD float64
	for i, p := range points {
		if !(p.Parameters > 0 && p.Tokens > 0 && p.Loss > 0) || math.IsInf(p.Loss, 0) || p.Error < 0 {
			return nil, fmt.Errorf("point %d of the scaling curve is %+v: parameters, tokens and loss must be positive", i, p)
		}
		sumN, sumD = sumN+math.Log(p.Parameters), sumD+math.Log(p.Tokens)
	}
	sizes, budgets := distinct(points, func(p ScalingPoint) float64 { return p.Parameters }), distinct(points, func(p ScalingPoint) float64 { return p.Tokens })
	if sizes < 3 {
		return nil, fmt.Errorf("%d sizes of model do not show a curve with a floor: train 3 or more", sizes)
	}
	if budgets == 2 {
		return nil, errors.New("2 numbers of tokens do not show a curve with a floor: train with one, or with 3 or more")
	}
	s := &Scaling{MeanN: math.Exp(sumN / float64(len(points))), MeanD: math.Exp(sumD / float64(len(points))), Points: points}
	for _, p := range points {
		f.n, f.d, f.loss = append(f.n, p.Parameters/s.MeanN), append(f.d, p.Tokens/s.MeanD), append(f.loss, p.Loss)
	}
	f.twoTerms = budgets > 1
	best := f.fit(fine)
	for i, p := range points {
		s.Worst = max(s.Worst, math.Abs(best.at(f.n[i], f.d[i])-p.Loss))
	}
	f.intervals(s, best, seed)
	return s, nil
}

func distinct(points []ScalingPoint, of func(ScalingPoint) float64) int {
	seen := map[float64]bool{}
	for _, p := range points {
		seen[of(p)] = true
	}
	return len(seen)
}

// scalingFit is points in shares of their means.
type scalingFit struct {
	n, d, loss []float64
	twoTerms   bool
}

// The range and the steps of the search of exponents, on a logarithmic scale.
const (
	leastExponent, mostExponent = 0.03, 3
)

// search says how finely exponents are searched.
type search struct{ steps, refinements int }

var (
	fine   = search{24, 3}
	coarse = search{10, 3} // for the many fits of the intervals
)

// fit searches exponents in a grid that is refined around its best point.
func (f *scalingFit) fit(s search) curve {
	low, high := [2]float64{math.Log(leastExponent), math.Log(leastExponent)}, [2]float64{math.Log(mostExponent), math.Log(mostExponent)}
	var best curve
	least := math.Inf(1)
	for range s.refinements {
		var at [2]float64
		for i := range s.steps + 1 {
			a := low[0] + (high[0]-low[0])*float64(i)/float64(s.steps)
			for j := range s.steps + 1 {
				b := low[1] + (high[1]-low[1])*float64(j)/float64(s.steps)
				if c, e := f.linear(math.Exp(a), math.Exp(b)); e < least {
					best, least, at = c, e, [2]float64{a, b}
				}
				if !f.twoTerms {
					break
				}
			}
		}
		if at == ([2]float64{}) {
			break // no better point in the finer grid
		}
		for k := range 2 {
			step := (high[k] - low[k]) / float64(s.steps)
			low[k], high[k] = max(at[k]-step, math.Log(leastExponent)), min(at[k]+step, math.Log(mostExponent))
		}
	}
	return best
}

// linear finds floor, size and data of given exponents: the best of the
// solutions in which some of them are 0 and no other is negative.
func (f *scalingFit) linear(alpha, beta float64) (best curve, least float64) {
	columns := make([][]float64, 2, 3)
	for i := range f.loss {
		columns[0] = append(columns[0], 1)
		columns[1] = append(columns[1], math.Pow(f.n[i], -alpha))
	}
	if f.twoTerms {
		columns = append(columns, nil)
		for i := range f.loss {
			columns[2] = append(columns[2], math.Pow(f.d[i], -beta))
		}
	}
	least = math.Inf(1)
	for set := 1; set < 1<<len(columns); set++ {
		x, ok := solveLeastSquares(columns, f.loss, set)
		if !ok || slices.Min(x) < 0 {
			continue
		}
		c := curve{floor: x[0], size: x[1], alpha: alpha}
		if f.twoTerms {
			c.data, c.beta = x[2], beta
		}
		var e float64
		for i, l := range f.loss {
			r := c.at(f.n[i], f.d[i]) - l
			e += r * r
		}
		if e < least {
			best, least = c, e
		}
	}
	return best, least
}

// solveLeastSquares solves the normal equations of the columns that are in set;
// the others get 0.
func solveLeastSquares(columns [][]float64, y []float64, set int) ([]float64, bool) {
	var used []int
	for k := range columns {
		if set>>k&1 == 1 {
			used = append(used, k)
		}
	}
	n := len(used)
	m := make([][]float64, n)
	for a := range n {
		m[a] = make([]float64, n+1)
		for i, v := range columns[used[a]] {
			for b := range n {
				m[a][b] += v * columns[used[b]][i]
			}
			m[a][n] += v * y[i]
		}
	}
	for a := range n {
		if !(m[a][a] > 1e-12) {
			return nil, false
		}
		for b := range n {
			if b == a {
				continue
			}
			r := m[b][a] / m[a][a]
			for k := a; k <= n; k++ {
				m[b][k] -= r * m[a][k]
			}
		}
	}
	x := make([]float64, len(columns))
	for a, k := range used {
		x[k] = m[a][n] / m[a][a]
	}
	return x, true
}

// scalingDraws is how often the curve is refitted for its intervals.
const scalingDraws = 100

func (f *scalingFit) intervals(s *Scaling, best curve, seed uint64) {
	random := rand.New(rand.NewPCG(seed, bootstrapStream))
	draws := make([]curve, scalingDraws)
	moved := &scalingFit{n: f.n, d: f.d, loss: make([]float64, len(f.loss)), twoTerms: f.twoTerms}
	for k := range draws {
		for i, l := range f.loss {
			moved.loss[i] = l + s.Points[i].Error*random.NormFloat64()
		}
		if f.twoTerms {
			draws[k] = moved.fit(coarse)
		} else {
			draws[k] = moved.fit(fine)
		}
	}
	interval := func(of func(curve) float64) Interval {
		values := make([]float64, len(draws))
		for i, d := range draws {
			values[i] = of(d)
		}
		slices.Sort(values)
		return Interval{Mean: of(best), Low: quantile(values, 0.025), High: quantile(values, 0.975), N: len(f.loss)}
	}
	s.Floor, s.Size = interval(func(c curve) float64 { return c.floor }), interval(func(c curve) float64 { return c.size })
	s.Alpha = interval(func(c curve) float64 { return c.alpha })
	if f.twoTerms {
		data, beta := interval(func(c curve) float64 { return c.data }), interval(func(c curve) float64 { return c.beta })
		s.Data, s.Beta = &data, &beta
	}
}
