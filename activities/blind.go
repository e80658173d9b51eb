package activities

import (
	"bytes"
	"fmt"

	"tempera/datagen/example"
	"tempera/datagen/picture"
)

// What problems show when a model is measured on them.
const (
	ownPictures   = "own"
	otherPictures = "other" // those of the next problem whose pictures are others
	blankPictures = "blank" // grey
)

// show lets prompts show other pictures than their rows have: how well a model does then is how far it gets by the texts alone.
func (s *sampler) show(what string, prompts []prompted) error {
	if what == ownPictures {
		return nil
	}
	var rows []*example.Example
	for _, p := range prompts {
		if len(p.row.Pictures) == 0 {
			return Invalid(fmt.Errorf("pictures is %s, and row %s has none: leave pictures out", what, p.row.ID))
		}
		rows = append(rows, p.row)
	}
	blank, err := picture.Blank()
	if err != nil {
		return err
	}
	for i := range prompts {
		shown := make([][]byte, len(rows[i].Pictures))
		for k := range shown {
			shown[k] = blank
		}
		if what == otherPictures {
			if shown = otherThan(rows, i); shown == nil {
				return Invalid(fmt.Errorf("pictures is other, and no row has others than row %s, as many: give more problems, or pictures: blank", rows[i].ID))
			}
		}
		seen, err := s.eye.read(shown)
		if err != nil {
			return err
		}
		if prompts[i].parts, err = s.eye.prompt(prompts[i].tokens, seen); err != nil {
			return err
		}
	}
	return nil
}

// otherThan are the pictures of the next row that has others than row i, as many; nil where there is none.
func otherThan(rows []*example.Example, i int) [][]byte {
	own := rows[i].Pictures
	for k := 1; k < len(rows); k++ {
		other := rows[(i+k)%len(rows)].Pictures
		if len(other) == len(own) && !bytes.Equal(bytes.Join(other, nil), bytes.Join(own, nil)) {
			return other
		}
	}
	return nil
}
