// Package transform changes streams of samples. Its functions are pure: equal
// streams and parameters give equal streams. Faults pass through.
package transform

import (
	"bytes"
	"fmt"
	"image/jpeg"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
)

// each applies f to every sample of a stream. What f returns as an error is
// yielded in the sample's place; a *sample.Fault does not end the stream.
func each(in sample.Stream, f func(*sample.Sample) error) sample.Stream {
	return func(yield func(sample.Sample, error) bool) {
		for s, err := range in {
			if err == nil {
				if err = f(&s); err != nil {
					s = sample.Sample{}
				}
			}
			if !yield(s, err) || err != nil && !isFault(err) {
				return
			}
		}
	}
}

func isFault(err error) bool {
	_, ok := err.(*sample.Fault) //nolint:errorlint // the type itself is the protocol
	return ok
}

// faultOf names the sample in a fault that package picture found.
func faultOf(s *sample.Sample, err error) error {
	if f, ok := err.(*sample.Fault); ok { //nolint:errorlint // picture returns the type itself
		f.Item = s.Key
		return f
	}
	return fmt.Errorf("sample %s: %w", s.Key, err)
}

// CheckImages decodes every image once, within limits. Broken ones become
// faults, and formats are set by what the image is, not by its name.
func CheckImages(in sample.Stream, lim picture.Limits) sample.Stream {
	return each(in, func(s *sample.Sample) error {
		format, err := picture.Inspect(s.Image, lim)
		if err == nil {
			_, err = picture.Decode(s.Image, lim)
		}
		if err != nil {
			return faultOf(s, err)
		}
		s.Format = format
		return nil
	})
}

// Resizing says how Resize changes images.
type Resizing struct {
	Side    int    // pixels a side
	Fit     string // "crop" the middle square (default), or "stretch"
	Quality int    // of JPEG, 1 to 100; 0 writes PNG
	Limits  picture.Limits
}

// Resize decodes every image, makes it a square of the given side, and encodes
// it again.
func Resize(in sample.Stream, r Resizing) sample.Stream {
	return each(in, func(s *sample.Sample) error {
		img, err := picture.Decode(s.Image, r.Limits)
		if err != nil {
			return faultOf(s, err)
		}
		if r.Fit != "stretch" {
			img = img.Square()
		}
		img = img.Resize(r.Side, r.Side)
		if r.Quality == 0 {
			s.Image, err = img.PNG()
			s.Format = "png"
			return err
		}
		var buf bytes.Buffer
		if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: r.Quality}); err != nil {
			return fmt.Errorf("sample %s: %w", s.Key, err)
		}
		s.Image, s.Format = buf.Bytes(), "jpg"
		return nil
	})
}

// UniqueKeys makes faults of the samples whose key has come up before.
func UniqueKeys(in sample.Stream) sample.Stream {
	return func(yield func(sample.Sample, error) bool) {
		seen := map[string]struct{}{}
		for s, err := range each(in, func(s *sample.Sample) error {
			if _, dup := seen[s.Key]; dup {
				return sample.Faulty(s.Key, sample.ReasonDuplicate, nil)
			}
			seen[s.Key] = struct{}{}
			return nil
		}) {
			if !yield(s, err) {
				return
			}
		}
	}
}
