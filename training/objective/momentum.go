package objective

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"tempera/training/device"
	"tempera/training/graph"
	"tempera/training/model"
	"tempera/training/optim"
)

// momentum is the slow side of ITC: encoders whose weights are moving averages,
// a graph that runs them without a reverse pass, and the queues of their
// normalised features. Batch k replaces the rows of batch k - queue/batch.
type momentum struct {
	model   *model.Model
	ema     *optim.EMA
	graphs  buckets
	image   *device.Value // (Q, E)
	text    *device.Value // (Q, E)
	batch   int
	backend device.Backend
}

// features defines the two features of a batch of pairs, not normalised.
func features(g *graph.Graph, m *model.Model, s shape) (image, text *graph.Node) {
	t := textInput(g, m, s)
	image = m.ImageFeature(g, m.VisionStates(g, imageInput(g, m, s.rows)))
	return image, m.TextFeature(g, m.TextStates(g, t), t)
}

// newMomentum allocates averages and queues.
func newMomentum(m *model.Model, o BLIPOptions) (*momentum, error) {
	b := m.Backend()
	params, err := encoderParams(m)
	if err != nil {
		return nil, err
	}
	mo := &momentum{batch: o.Batch, backend: b}
	if mo.ema, err = optim.NewEMA(b, params, float32(o.Momentum)); err != nil {
		return nil, err
	}
	mo.model = m.Over(mo.ema.Params())
	for i, q := range []**device.Value{&mo.image, &mo.text} {
		start := randomUnitRows(o.Queue, m.Config.Embed, rand.NewPCG(o.Seed, queueStream+uint64(i)))
		if *q, err = device.FromFloats(b, start, o.Queue, m.Config.Embed); err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
	}
	return mo, nil
}

// plan builds the graphs of the features.
func (mo *momentum) plan(o BLIPOptions, arena *graph.Arena) (err error) {
	mo.graphs, err = bucketSpec{
		backend: mo.model.Backend(), plan: o.Plan, context: mo.model.Config.Text.Context, options: graph.Options{Arena: arena},
		define: func(g *graph.Graph, tokens int) *graph.Node {
			image, text := features(g, mo.model, shape{o.Batch, tokens})
			g.Output("image", image)
			g.Output("text", text)
			return nil
		},
	}.build()
	return err
}

// queueStream keeps the queue's random numbers apart from others of the seed.
const queueStream = 1 << 32

// encoderParams are the parameters that the two features depend on, in the order
// of the model.
func encoderParams(m *model.Model) (params []*graph.Param, err error) {
	defer graph.Recover(&err)
	g := graph.New(m.Backend(), graph.Options{})
	features(g, m, shape{1, m.Config.Text.Context})
	used := map[*graph.Param]bool{}
	for _, p := range g.Params() {
		used[p] = true
	}
	for _, p := range m.Params() {
		if used[p] {
			params = append(params, p)
		}
	}
	return params, nil
}

// randomUnitRows are rows of normal numbers scaled to length 1.
func randomUnitRows(rows, cols int, source rand.Source) []float32 {
	r := rand.New(source)
	out := make([]float32, rows*cols)
	for i := range rows {
		row := out[i*cols : (i+1)*cols]
		var sum float64
		for j := range row {
			row[j] = float32(r.NormFloat64())
			sum += float64(row[j]) * float64(row[j])
		}
		for j := range row {
			row[j] = float32(float64(row[j]) / math.Sqrt(sum))
		}
	}
	return out
}

// run computes the momentum features of a batch, whose texts may be cut. They are in memory that the next graph overwrites.
func (mo *momentum) run(p pairs) (image, text *device.Value, err error) {
	g := mo.graphs.of(p.width())
	if err := errors.Join(feedPairs(g.Graph, mo.model, p), g.Run()); err != nil {
		return nil, nil, fmt.Errorf("momentum encoders: %w", err)
	}
	image, err = g.Value("image")
	if err != nil {
		return nil, nil, err
	}
	text, err = g.Value("text")
	return image, text, err
}

// enqueue puts the normalised features of a step into the queues.
func (mo *momentum) enqueue(step int64, image, text *device.Value) {
	rows, width := mo.image.Rows(), mo.image.Cols()
	at := int(step*int64(mo.batch)%int64(rows)) * width
	for _, q := range []struct{ queue, keys *device.Value }{{mo.image, image}, {mo.text, text}} {
		place := device.NewValue(device.Floats(q.keys.Shape()...), q.queue.Buffer(), q.queue.Offset()+at)
		mo.backend.Copy(place, q.keys)
	}
}

func (mo *momentum) state() []optim.Tensor {
	return append(mo.ema.State(), optim.Tensor{Name: "queue.image", Value: mo.image}, optim.Tensor{Name: "queue.text", Value: mo.text})
}
