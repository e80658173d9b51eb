package rows

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
)

// bytesKey is where an image's bytes are in Hugging Face's data sets.
const bytesKey = "bytes"

// imageList is what a row says of its images, in the order in which they are shown.
type imageList []json.RawMessage

// addImages takes the images of a field: one, or a list of them.
func (r *record) addImages(names ...string) error {
	for _, name := range names {
		if !r.has(name) {
			continue
		}
		raw := bytes.TrimSpace(r.fields[name])
		if raw[0] != '[' {
			r.images = append(r.images, raw)
			continue
		}
		var list imageList
		if err := r.get(name, &list); err != nil {
			return err
		}
		r.images = append(r.images, list...)
	}
	return nil
}

// pictures reads the images of a row: paths from the folder of its file, data URIs,
// and objects with bytes or one of both. All are PNG or JPEG afterwards.
func (r *record) pictures(lim picture.Limits) ([][]byte, error) {
	var all [][]byte
	for i, raw := range r.images {
		data, err := r.picture(raw)
		if err == nil {
			data, err = storable(data, lim)
		}
		if err != nil {
			var f *sample.Fault
			if errors.As(err, &f) {
				return nil, sample.Faulty("", f.Reason, fmt.Errorf("image %d: %s", i, f.Why()))
			}
			return nil, sample.Faulty("", sample.ReasonNoImage, fmt.Errorf("image %d: %w", i, err))
		}
		all = append(all, data)
	}
	return all, nil
}

// picture finds the bytes of an image.
func (r *record) picture(raw json.RawMessage) ([]byte, error) {
	var place string
	if json.Unmarshal(raw, &place) == nil {
		return r.open(place)
	}
	var object struct {
		Bytes string          `json:"bytes"`
		Path  string          `json:"path"`
		URL   string          `json:"url"`
		Image json.RawMessage `json:"image"`
	}
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, errors.New("it is neither a path nor an object with bytes, path or url")
	}
	switch {
	case strings.HasPrefix(object.Bytes, "data:"):
		return r.open(object.Bytes)
	case object.Bytes != "":
		return base64.StdEncoding.DecodeString(object.Bytes)
	case object.Path != "":
		return r.open(object.Path)
	case object.URL != "":
		return r.open(object.URL)
	}
	return nil, errors.New("it has no bytes, no path and no url")
}

// open reads a data URI, or a file beside the row's.
func (r *record) open(place string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(place, "data:"); ok {
		head, body, ok := strings.Cut(rest, ",")
		if !ok || !strings.HasSuffix(head, ";base64") {
			return nil, errors.New("the data URI is not base64")
		}
		return base64.StdEncoding.DecodeString(body)
	}
	if strings.Contains(place, "://") {
		return nil, fmt.Errorf("%s is not fetched: put the images beside the rows", place)
	}
	if !fs.ValidPath(place) {
		return nil, sample.Faulty("", sample.ReasonPath, fmt.Errorf("%q", place))
	}
	return r.file.beside(place)
}

// storable is an image as PNG or JPEG.
func storable(data []byte, lim picture.Limits) ([]byte, error) {
	format, err := picture.Inspect(data, lim)
	if err != nil || format == "png" || format == "jpg" {
		return data, err
	}
	m, err := picture.Decode(data, lim)
	if err != nil {
		return nil, err
	}
	return m.PNG()
}
