package rows

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"tempera/datagen/example"
)

// Format is a form of rows that people have.
type Format struct {
	Name    string
	Summary string
	// fits tells whether a row is of this format, by its fields. Of several formats
	// that fit, the first of All is taken.
	fits func(*record) bool
	// read makes examples of a row. The error says what is missing or wrong; a
	// skipError that there is nothing to be had of a row which is as it should be.
	read func(*record) ([]*example.Example, error)
}

// All lists the formats, the most particular ones first.
func All() []Format {
	return []Format{
		nlvr(), solutions(), solutionPairs(), pandaLM(), gsm8k(), shareGPT(), chatterbot(), trl(), alpaca(),
	}
}

// fieldsName is the format in which Params.Fields say what is what.
const fieldsName = "fields"

func names() []string {
	var all []string
	for _, f := range All() {
		all = append(all, f.Name)
	}
	return append(all, fieldsName)
}

func find(name string) (Format, bool) {
	for _, f := range All() {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, name == fieldsName
}

// tasted is how many rows a format is found from.
const tasted = 16

// format is the one that the parameters name; ok is false where it is to be found out.
func (r *reader) format() (Format, bool) {
	if len(r.params.Fields) > 0 {
		return fields(r.params.Fields), true
	}
	if r.params.Format == "" {
		return Format{}, false
	}
	return find(r.params.Format)
}

// detect finds the format that fits most of the first rows. Where none fits any, the
// rows are faults that say what they have.
func detect(first []*record) (Format, bool) {
	var best Format
	most := 0
	for _, f := range All() {
		n := 0
		for _, rec := range first {
			if f.fits(rec) {
				n++
			}
		}
		if n > most {
			best, most = f, n
		}
	}
	if most == 0 {
		best = unknown()
	}
	return best, true
}

// unknown is the format of rows that none fits.
func unknown() Format {
	return Format{read: func(r *record) ([]*example.Example, error) {
		return nil, fmt.Errorf("no format has rows with the keys %s: give format one of %s, or say with fields which key is which",
			strings.Join(slices.Sorted(maps.Keys(r.fields)), ", "), strings.Join(names(), ", "))
	}}
}

// one is the examples of a format that makes one of a row.
func one(e *example.Example, err error) ([]*example.Example, error) {
	if err != nil {
		return nil, err
	}
	return []*example.Example{e}, nil
}
