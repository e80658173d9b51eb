package scenes

import (
	"slices"
	"strings"
)

// Verdict is what a caption gets right about a scene.
type Verdict struct {
	Objects      int  // objects that the caption names
	TrueObjects  int  // of those, how many the scene has
	ObjectsExact bool // it names the scene's objects, all and no others
	WhollyTrue   bool // and its place, relation or count is right too
}

var canonical = map[string]string{"tiny": "small", "big": "large", "over": "above", "under": "below"}

// statement is what a caption says.
type statement struct {
	objects  [][3]string // looks
	count    int         // of a counting caption, else 0
	relation string
	place    [2]string
}

// parse understands the grammar's captions, and any text that has its phrases
// in it; other words are skipped.
func parse(caption string) statement {
	w := strings.Fields(strings.ToLower(caption))
	for i := range w {
		if c, ok := canonical[w[i]]; ok {
			w[i] = c
		}
	}
	var s statement
	for i := 0; i+2 < len(w); i++ {
		if !slices.Contains(Sizes, w[i]) || !slices.Contains(Colors, w[i+1]) {
			continue
		}
		shape := w[i+2]
		if i > 0 {
			if n := slices.Index(numbers, w[i-1]); n >= 2 {
				s.count = n
				shape = singular(shape)
			}
		}
		if slices.Contains(Shapes, shape) {
			s.objects = append(s.objects, [3]string{w[i], w[i+1], shape})
		}
	}
	if len(s.objects) >= 2 {
		if i := slices.IndexFunc(w, func(x string) bool { return relations[x] != nil }); i >= 0 {
			s.relation = w[i]
		}
		return s
	}
	if i := slices.Index(w, "at"); i >= 0 && i+3 < len(w) {
		s.place = [2]string{w[i+2], w[i+3]}
	}
	return s
}

func singular(word string) string {
	if word == "crosses" {
		return "cross"
	}
	return strings.TrimSuffix(word, "s")
}

// Judge compares a caption with what is in the scene.
func (s Scene) Judge(caption string) Verdict {
	said := parse(caption)
	v := Verdict{Objects: len(said.objects)}
	if s.Counting || said.count > 0 {
		return s.judgeCount(said, v)
	}
	at := make(map[[3]string]Object, len(s.Objects))
	for _, o := range s.Objects {
		at[o.looks()] = o
	}
	distinct := map[[3]string]bool{}
	for _, looks := range said.objects {
		distinct[looks] = true
		if _, ok := at[looks]; ok {
			v.TrueObjects++
		}
	}
	v.ObjectsExact = len(said.objects) == len(s.Objects) && v.TrueObjects == len(said.objects) && len(distinct) == len(at)
	switch {
	case !v.ObjectsExact:
	case len(s.Objects) == 1:
		vertical, horizontal := s.Objects[0].area()
		v.WhollyTrue = said.place == [2]string{vertical, horizontal}
	default:
		v.WhollyTrue = said.relation == Relation(at[said.objects[0]], at[said.objects[1]])
	}
	return v
}

// judgeCount wants the right looks and the right number.
func (s Scene) judgeCount(said statement, v Verdict) Verdict {
	for _, looks := range said.objects {
		if slices.ContainsFunc(s.Objects, func(o Object) bool { return o.looks() == looks }) {
			v.TrueObjects++
		}
	}
	v.ObjectsExact = s.Counting && len(said.objects) == 1 && v.TrueObjects == 1
	v.WhollyTrue = v.ObjectsExact && said.count == len(s.Objects)
	return v
}
