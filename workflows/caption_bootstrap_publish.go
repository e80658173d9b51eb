package workflows

import (
	"maps"
	"slices"
	"strings"
)

// publication is what CaptionBootstrap publishes under one name: the pipeline's,
// with the source where there are several, and a part of the work after it.
type publication struct {
	part   string // captioner or filter; "" is the model that all is about, and its data
	metric string // by which a champion gives way; "" leaves the part a candidate
	inputs inputs
	words  []string // of its name
}

// offer notes what the first repetition has to publish. What is of one part goes
// into one stage.
func (b *bootstrap) offer(p publication) {
	if b.seed != b.p.Seed || b.p.Publish == "no" {
		return
	}
	if len(b.p.Sources) > 1 {
		p.words = append(p.words, b.source)
	}
	if p.part != "" {
		p.words = append(p.words, p.part)
	}
	for i := range b.published {
		if known := &b.published[i]; slices.Equal(known.words, p.words) {
			maps.Copy(known.inputs, p.inputs)
			known.metric += p.metric
			return
		}
	}
	b.published = append(b.published, p)
}

// publish adds the stages that publish what was offered.
func (b *bootstrap) publish() {
	for _, of := range b.published {
		id := strings.Join(append([]string{"publish"}, of.words...), "_")
		p := params{"name": strings.Join(append([]string{b.p.Name}, of.words...), "-"), "alias": "candidate"}
		if b.p.Publish == "champion" && of.metric != "" {
			p["alias"], p["metric"] = "champion", of.metric
		}
		b.add(id, "publish", of.inputs, p)
	}
}
