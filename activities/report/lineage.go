package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Lineage draws what was made from what: stages in layers, each below all that
// it needs.
type Lineage struct {
	Title string
	Nodes []Node
}

// Node is one stage.
type Node struct {
	ID    string
	Label string // "": the ID
	Note  string // small, e.g. "24 s" or "cached"
	Tone  Tone
	Needs []string // IDs
}

type nodeView struct {
	Label, Note, Title string
	Tone               Tone
	X, Y               string
	TextX, TextY       string
	NoteY              string
}

const (
	nodeWidth, nodeHeight = 150, 42
	gapX, gapY            = 22, 40
	laneWidth             = 26 // of an edge that passes a layer
	labelLength           = 20 // characters that fit a node
)

// place is a node in a layer, or the point where an edge passes it.
type place struct {
	node  int // -1: an edge
	x     float64
	below []*place // where its edges go
	above []*place
}

func (p *place) width() float64 {
	if p.node < 0 {
		return laneWidth
	}
	return nodeWidth
}

func (l Lineage) view() (string, any, error) {
	layers, err := l.layers()
	if err != nil {
		return "", nil, err
	}
	if len(layers) == 0 {
		return "empty", l.Title, nil
	}
	order(layers)
	width := arrange(layers)
	v := struct {
		Title         string
		Width, Height int
		Nodes         []nodeView
		Edges         []string
		NodeWidth     int
		NodeHeight    int
	}{Title: l.Title, Width: int(width) + 4, Height: len(layers)*(nodeHeight+gapY) - gapY + 4, NodeWidth: nodeWidth, NodeHeight: nodeHeight}
	for depth, layer := range layers {
		y := layerTop(depth)
		for _, p := range layer {
			if p.node < 0 {
				continue
			}
			v.Nodes = append(v.Nodes, l.Nodes[p.node].view(p.x, y))
			for _, q := range p.below {
				v.Edges = append(v.Edges, spline(route(p, q, depth)))
			}
		}
	}
	return "lineage", v, nil
}

func layerTop(depth int) float64 { return float64(2 + depth*(nodeHeight+gapY)) }

// point is a point of an edge. Where it is upright, the edge runs downwards.
type point struct {
	x, y    float64
	upright bool
}

// route returns the points of the edge from p, in the layer depth, by way of q.
// It passes its first and its last layer upright, beside the nodes there.
func route(p, q *place, depth int) []point {
	points := []point{{p.x, layerTop(depth) + nodeHeight, true}}
	d := depth + 1
	for first := true; q.node < 0; first = false {
		next := q.below[0]
		if first || next.node >= 0 {
			points = append(points, point{q.x, layerTop(d), true}, point{q.x, layerTop(d) + nodeHeight, true})
		} else {
			points = append(points, point{q.x, layerTop(d) + nodeHeight/2, false})
		}
		q = next
		d++
	}
	return append(points, point{q.x, layerTop(d), true})
}

// spline draws a Catmull-Rom curve through points.
func spline(points []point) string {
	var path strings.Builder
	fmt.Fprintf(&path, "M%s %s", pixel(points[0].x), pixel(points[0].y))
	for i := range len(points) - 1 {
		p, q := points[i], points[i+1]
		px, py := control(points, i, q.y-p.y)
		qx, qy := control(points, i+1, q.y-p.y)
		fmt.Fprintf(&path, "C%s %s %s %s %s %s", pixel(p.x+px), pixel(p.y+py), pixel(q.x-qx), pixel(q.y-qy), pixel(q.x), pixel(q.y))
	}
	return path.String()
}

// control returns how far the control point of point i lies from it, in a
// segment of the given height.
func control(points []point, i int, height float64) (x, y float64) {
	if points[i].upright {
		return 0, height / 2
	}
	before, after := points[i-1], points[i+1]
	slope := (after.x - before.x) / (after.y - before.y)
	return slope * height / 3, height / 3
}

func (n Node) view(x, y float64) nodeView {
	label := cmp.Or(n.Label, n.ID)
	v := nodeView{
		Label: shorten(label), Note: shorten(n.Note), Title: label, Tone: cmp.Or(n.Tone, Neutral),
		X: pixel(x - nodeWidth/2), Y: pixel(y), TextX: pixel(x), TextY: pixel(y + nodeHeight/2 + 4), NoteY: pixel(y + 33),
	}
	if n.Note != "" {
		v.TextY = pixel(y + 18)
		v.Title += ": " + n.Note
	}
	return v
}

func shorten(s string) string {
	if r := []rune(s); len(r) > labelLength {
		return string(r[:labelLength-1]) + "…"
	}
	return s
}

// layers puts each node one layer below the lowest of its needs, and a place
// into every layer that an edge passes.
func (l Lineage) layers() ([][]*place, error) {
	depth, err := l.depths()
	if err != nil {
		return nil, err
	}
	var layers [][]*place
	places := make([]*place, len(l.Nodes))
	add := func(d int, p *place) *place {
		for len(layers) <= d {
			layers = append(layers, nil)
		}
		layers[d] = append(layers[d], p)
		return p
	}
	index := make(map[string]int, len(l.Nodes))
	for i, n := range l.Nodes {
		index[n.ID] = i
		places[i] = add(depth[i], &place{node: i})
	}
	for i, n := range l.Nodes {
		needs := slices.Compact(slices.Sorted(slices.Values(n.Needs)))
		for _, need := range needs {
			above := places[index[need]]
			for d := depth[index[need]] + 1; d < depth[i]; d++ {
				above = link(above, add(d, &place{node: -1}))
			}
			link(above, places[i])
		}
	}
	return layers, nil
}

func link(above, below *place) *place {
	above.below = append(above.below, below)
	below.above = append(below.above, above)
	return below
}

// depths returns the layer of each node.
func (l Lineage) depths() ([]int, error) {
	index := make(map[string]int, len(l.Nodes))
	for i, n := range l.Nodes {
		if _, twice := index[n.ID]; twice || n.ID == "" {
			return nil, fmt.Errorf("lineage %q: the ID %q is missing or not unique", l.Title, n.ID)
		}
		index[n.ID] = i
	}
	depth := make([]int, len(l.Nodes))
	for round := 0; ; round++ {
		changed := false
		for i, n := range l.Nodes {
			for _, need := range n.Needs {
				k, ok := index[need]
				if !ok {
					return nil, fmt.Errorf("lineage %q: %q needs %q, which is not there", l.Title, n.ID, need)
				}
				if depth[i] <= depth[k] {
					depth[i], changed = depth[k]+1, true
				}
			}
		}
		if !changed {
			return l.lower(depth, index), nil
		}
		if round > len(l.Nodes) {
			return nil, fmt.Errorf("lineage %q: there is a loop", l.Title)
		}
	}
}

// lower moves what needs nothing down to where it is used first.
func (l Lineage) lower(depth []int, index map[string]int) []int {
	first := make([]int, len(l.Nodes))
	for i, n := range l.Nodes {
		for _, need := range n.Needs {
			if k := index[need]; first[k] == 0 || depth[i] < first[k] {
				first[k] = depth[i]
			}
		}
	}
	for k, n := range l.Nodes {
		if len(n.Needs) == 0 && first[k] > 0 {
			depth[k] = first[k] - 1
		}
	}
	return depth
}

// order sorts the layers by the mean position of neighbours, down and up in
// turn, which removes most crossings (Sugiyama's barycentre method).
func order(layers [][]*place) {
	at := make(map[*place]int)
	index := func(layer []*place) {
		for i, p := range layer {
			at[p] = i
		}
	}
	for _, layer := range layers {
		index(layer)
	}
	sortBy := func(layer []*place, neighbours func(*place) []*place) {
		mean := make(map[*place]float64, len(layer))
		for _, p := range layer {
			mean[p] = float64(at[p])
			if n := neighbours(p); len(n) > 0 {
				var sum float64
				for _, q := range n {
					sum += float64(at[q])
				}
				mean[p] = sum / float64(len(n))
			}
		}
		slices.SortStableFunc(layer, func(a, b *place) int { return cmp.Compare(mean[a], mean[b]) })
		index(layer)
	}
	for range 8 {
		for d := 1; d < len(layers); d++ {
			sortBy(layers[d], func(p *place) []*place { return p.above })
		}
		for d := len(layers) - 2; d >= 0; d-- {
			sortBy(layers[d], func(p *place) []*place { return p.below })
		}
	}
}

// arrange gives each place its x, the middle of it, and returns the width of
// all. Places are drawn towards their neighbours and keep their order.
func arrange(layers [][]*place) float64 {
	for _, layer := range layers {
		var x float64
		for _, p := range layer {
			p.x = x + p.width()/2
			x += p.width() + gapX
		}
	}
	for round := range 200 {
		for k := range layers {
			layer := layers[k]
			if round%2 == 1 {
				layer = layers[len(layers)-1-k]
			}
			pull(layer)
		}
	}
	left, right := layers[0][0].x, layers[0][0].x
	for _, layer := range layers {
		for _, p := range layer {
			left, right = min(left, p.x-p.width()/2), max(right, p.x+p.width()/2)
		}
	}
	for _, layer := range layers {
		for _, p := range layer {
			p.x += 2 - left
		}
	}
	return right - left
}

// weight makes the parts of one long edge hold together, so that it runs
// straight.
func (p *place) weight() float64 {
	if p.node < 0 {
		return 3
	}
	return 1
}

// pull moves the places of a layer to the mean of their neighbours, as far as
// the places beside them allow: first from the left, then from the right, and
// the middle of both.
func pull(layer []*place) {
	wish := make([]float64, len(layer))
	for i, p := range layer {
		wish[i] = p.x
		var sum, weights float64
		for _, q := range slices.Concat(p.above, p.below) {
			w := p.weight() * q.weight()
			sum += w * q.x
			weights += w
		}
		if weights > 0 {
			wish[i] = sum / weights
		}
	}
	gap := func(i int) float64 { return (layer[i].width()+layer[i+1].width())/2 + gapX }
	left, right := slices.Clone(wish), slices.Clone(wish)
	for i := 1; i < len(layer); i++ {
		left[i] = max(left[i], left[i-1]+gap(i-1))
	}
	for i := len(layer) - 2; i >= 0; i-- {
		right[i] = min(right[i], right[i+1]-gap(i))
	}
	for i, p := range layer {
		p.x = (left[i] + right[i]) / 2
	}
}
