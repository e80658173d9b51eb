// Package truth judges captions by what is known of generated pictures.
package truth

import (
	"tempera/datagen/sample"
	"tempera/datagen/source/emoji"
	"tempera/datagen/source/scenes"
)

// Verdict is what a caption gets right about a picture.
type Verdict struct {
	Objects      int  // objects that the caption names
	TrueObjects  int  // of those, how many the picture shows
	ObjectsExact bool // it names what the picture shows, all of it and nothing else
	WhollyTrue   bool // and places, relations and counts are right too
}

// Judge compares a caption with the truth of a picture; known is false where
// the truth is not known. Every source with a ground truth has a case here.
func Judge(facts sample.Facts, caption string) (v Verdict, known bool) {
	if facts.Truth == nil || len(facts.Truth.Scene) == 0 {
		return Verdict{}, false
	}
	switch facts.Source {
	case scenes.Name:
		s, err := scenes.ParseScene(facts.Truth.Scene)
		if err != nil {
			return Verdict{}, false
		}
		return Verdict(s.Judge(caption)), true
	case emoji.Name:
		c, err := emoji.ParseContent(facts.Truth.Scene)
		if err != nil {
			return Verdict{}, false
		}
		return Verdict(c.Judge(caption)), true
	}
	return Verdict{}, false
}

// Key is equal for pictures that the same captions describe; in retrieval they
// stand for each other, see Same. It is empty where the truth is not known.
func Key(facts sample.Facts) string {
	if facts.Truth == nil {
		return ""
	}
	if len(facts.Truth.Scene) > 0 {
		switch facts.Source {
		case scenes.Name:
			if s, err := scenes.ParseScene(facts.Truth.Scene); err == nil {
				return facts.Source + " " + s.Key()
			}
		case emoji.Name:
			if c, err := emoji.ParseContent(facts.Truth.Scene); err == nil {
				return facts.Source + " " + c.Key()
			}
		}
		return ""
	}
	return facts.Truth.Caption
}

// Same reports whether keys are of pictures that are known to show the same.
func Same(a, b string) bool { return a != "" && a == b }

// CaptionIsTrue reports whether a sample's own caption is wholly true; known is
// false where nobody can tell.
func CaptionIsTrue(s sample.Sample) (yes, known bool) {
	if v, ok := Judge(s.Facts, s.Caption); ok {
		return v.WhollyTrue, true
	}
	if s.Facts.Truth == nil {
		return false, false
	}
	return s.Caption == s.Facts.Truth.Caption, true
}
