// Package sample is the record that sources make, transforms change and shards
// hold: an encoded image, its caption, and what is known to be true of it.
package sample

import "encoding/json"

// Sample is one image-text pair.
type Sample struct {
	Key     string // unique in its data set; no dots, no slashes
	Image   []byte // encoded; Format tells how
	Format  string // "png", "jpg", "webp" or "gif": the field's name in a shard
	Caption string
	Facts   Facts
}

// Facts travel beside the pair as <key>.json. Training never reads Truth: it is
// there to score what training made of the data.
type Facts struct {
	Source   string   `json:"source"`             // e.g. "emoji", "scenes"
	Style    string   `json:"style,omitempty"`    // e.g. the drawing style
	Concepts []string `json:"concepts,omitempty"` // what is shown
	Origin   string   `json:"origin,omitempty"`   // where the caption comes from: "web", "synthetic", "clean"
	WebText  string   `json:"web_text,omitempty"` // of a synthetic caption: the text that came with the image
	Truth    *Truth   `json:"truth,omitempty"`    // absent where nobody knows
	// Scores are what filters thought of the pair, by name ("itc", "itm").
	Scores map[string]float64 `json:"scores,omitempty"`
}

// Truth is what is known because the data was generated.
type Truth struct {
	Caption string          `json:"caption"`         // a right caption of this image
	Noise   string          `json:"noise,omitempty"` // what was done to Caption: "", "mismatch", "keywords", "boilerplate", "truncation"
	Scene   json.RawMessage `json:"scene,omitempty"` // the generator's own ground truth
}
