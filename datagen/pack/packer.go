package pack

import (
	"errors"
	"fmt"

	"tempera/datagen/order"
)

// Part is one data set of a mixture.
type Part struct {
	Data   Documents
	Weight float64 // relative share of the rows; 0 means its size
}

// Config says how documents become batches.
type Config struct {
	Batch   int // rows of a batch
	Context int // positions of a row
	Mode    Mode
	Seed    uint64
	Pad     int32 // token of positions without text
	Ignore  int32 // target of positions that predict nothing
}

func (c Config) validate() error {
	var faults []error
	if c.Batch < 1 {
		faults = append(faults, fmt.Errorf("batch is %d: use 1 or more rows", c.Batch))
	}
	if c.Context < 2 || c.Context > 1<<20 {
		faults = append(faults, fmt.Errorf("context is %d: use 2 to %d tokens", c.Context, 1<<20))
	}
	if c.Mode != Joined && c.Mode != Separate {
		faults = append(faults, fmt.Errorf("packing is %q: use %s or %s", c.Mode, Joined, Separate))
	}
	return errors.Join(faults...)
}

// Arrays are the input of a step, filled by Fill. A batch is B rows of T
// positions. Ends and Positions are of separate documents only.
type Arrays struct {
	Tokens  []int32 // (B T)
	Targets []int32 // (B T)
	// Positions (B T) count from 0 in each document, or in each of its pieces.
	Positions []int32
	// Ends, Spans numbers, are cumulative: 0, then where each document of the batch
	// ends, rows one after the other, then B T as often as there is place. Positions
	// without text are documents of their own.
	Ends []int32
}

// Packer makes the batches of a mixture of data sets. The batch of a step is a
// function of the data, the configuration and the step alone. It is not for
// concurrent use.
type Packer struct {
	layer
	order *order.Order
}

// New packs the documents of the parts, which takes some 20 bytes of memory for
// each. Parts that do not fill a batch are an error.
func New(cfg Config, parts ...Part) (*Packer, error) {
	l, err := newLayer(cfg, parts)
	if err != nil {
		return nil, err
	}
	sizes := make([]order.Part, len(parts))
	for i, part := range parts {
		sizes[i] = order.Part{Size: l.rows[i].len(), Weight: part.Weight}
	}
	o, err := order.New(cfg.Seed, cfg.Batch, sizes)
	if err != nil {
		return nil, fmt.Errorf("rows of %d tokens: %w", cfg.Context, err)
	}
	return &Packer{*l, o}, nil
}

// Steps returns the steps of an epoch of the mixture.
func (p *Packer) Steps() int64 { return p.order.Steps() }

// Epochs returns how often each part has been gone through after a number of steps.
func (p *Packer) Epochs(steps int64) []float64 { return p.order.Epochs(steps) }

// Fill writes the batch of a step and returns how many of its positions predict
// a token.
func (p *Packer) Fill(step int64, a Arrays) (predicted int, err error) {
	_, places := p.order.Batch(step)
	return p.lay(places, a)
}

// Pass goes through the rows of a data set once, in order, as evaluation does.
type Pass struct{ layer }

// NewPass packs the documents of one data set.
func NewPass(cfg Config, data Documents) (*Pass, error) {
	l, err := newLayer(cfg, []Part{{Data: data}})
	if err != nil {
		return nil, err
	}
	return &Pass{*l}, nil
}

// Batches returns the number of batches; the last may have rows without text.
func (p *Pass) Batches() int { return (p.rows[0].len() + p.cfg.Batch - 1) / p.cfg.Batch }

// Fill writes batch i and returns how many of its positions predict a token.
func (p *Pass) Fill(i int, a Arrays) (predicted int, err error) {
	var places []order.Place
	for r := i * p.cfg.Batch; r < min((i+1)*p.cfg.Batch, p.rows[0].len()); r++ {
		places = append(places, order.Place{Index: r})
	}
	return p.lay(places, a)
}

// layer lays rows into arrays.
type layer struct {
	cfg   Config
	parts []Part
	rows  []*rows
	read  []int32
	ends  int // written so far
}

func newLayer(cfg Config, parts []Part) (*layer, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &layer{cfg: cfg, parts: parts, read: make([]int32, cfg.Context+1)}
	for _, part := range parts {
		r, err := newRows(part.Data, cfg.Context, cfg.Mode, cfg.Seed)
		if err != nil {
			return nil, err
		}
		l.rows = append(l.rows, r)
	}
	return l, nil
}

// Spans is the length of Arrays.Ends that every batch fits into; 0 where
// documents are joined.
func (l *layer) Spans() int {
	if l.cfg.Mode == Joined {
		return 0
	}
	most := 0
	for _, r := range l.rows {
		most = max(most, r.most)
	}
	return l.cfg.Batch*(most+1) + 1 // a row's padding is one more
}

func (l *layer) lay(places []order.Place, a Arrays) (predicted int, err error) {
	t := l.cfg.Context
	if n := l.cfg.Batch * t; len(a.Tokens) != n || len(a.Targets) != n || len(a.Ends) != l.Spans() || l.Spans() > 0 && len(a.Positions) != n {
		return 0, fmt.Errorf("the arrays have %d tokens, %d targets and %d ends, want %d and %d", len(a.Tokens), len(a.Targets), len(a.Ends), n, l.Spans())
	}
	if l.Spans() > 0 {
		a.Ends[0], l.ends = 0, 1
	}
	for b := range l.cfg.Batch {
		used := 0
		if b < len(places) {
			at := places[b]
			for _, p := range l.rows[at.Part].row(at.Index) {
				n, err := l.piece(at.Part, p, a, b*t+used)
				if err != nil {
					return 0, err
				}
				predicted, used = predicted+n, used+int(p.length)
			}
		}
		l.pad(a, b*t+used, (b+1)*t)
	}
	for i := l.ends; i < len(a.Ends); i++ {
		a.Ends[i] = int32(l.cfg.Batch * t)
	}
	return predicted, nil
}

// piece writes a run of positions from at on.
func (l *layer) piece(part int, p piece, a Arrays, at int) (predicted int, err error) {
	data, n := l.parts[part].Data, int(p.length)
	with := min(n+1, data.Length(int(p.document))-int(p.start)) // the token after the run is a target
	read := l.read[:with]
	if err := data.Read(int(p.document), int(p.start), read); err != nil {
		return 0, fmt.Errorf("part %d of the training data: %w", part, err)
	}
	copy(a.Tokens[at:at+n], read)
	targets := a.Targets[at : at+n]
	predicted = copy(targets, read[1:])
	for i := predicted; i < n; i++ {
		targets[i] = l.cfg.Ignore // the end of a document in a stream
	}
	l.span(a, at, at+n)
	learned, ok := data.(Learned)
	if !ok {
		return predicted, nil
	}
	return l.mask(learned, p, targets[:predicted])
}

// mask leaves targets out that are not to be predicted, and returns how many are.
func (l *layer) mask(data Learned, p piece, targets []int32) (predicted int, err error) {
	learn := make([]bool, len(targets))
	if err := data.Learn(int(p.document), int(p.start)+1, learn); err != nil {
		return 0, fmt.Errorf("what is learned of document %d: %w", p.document, err)
	}
	for i, is := range learn {
		if is {
			predicted++
		} else {
			targets[i] = l.cfg.Ignore
		}
	}
	return predicted, nil
}

// span notes a document of its own.
func (l *layer) span(a Arrays, from, to int) {
	if len(a.Ends) == 0 {
		return
	}
	for i := from; i < to; i++ {
		a.Positions[i] = int32(i - from)
	}
	a.Ends[l.ends] = int32(to)
	l.ends++
}

func (l *layer) pad(a Arrays, from, to int) {
	if from == to {
		return
	}
	for i := from; i < to; i++ {
		a.Tokens[i], a.Targets[i] = l.cfg.Pad, l.cfg.Ignore
	}
	l.span(a, from, to)
}
