// Package shard keeps data sets as WebDataset tar files of bounded size.
//
// A data set is an artifact.Manifest of shards ("train-000000.tar"), a data set
// card (README.md) and Croissant metadata (croissant.json). A sample with key K
// is three members of one shard, in this order: K.png (or jpg, webp, gif),
// K.txt (the caption) and K.json (sample.Facts). Equal samples give equal bytes.
//
// Writer makes data sets, Dataset opens them for random access, Read streams
// one tar file, ours or a stranger's.
package shard

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"tempera/datagen/sample"
)

// maxKey keeps member names within the 100 bytes of a USTAR header.
const maxKey = 80

// CheckKey says whether a key can name members of a shard on any file system:
// letters, digits, '-' and '_', not starting with '-', at most 80 of them.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey || key[0] == '-' {
		return fmt.Errorf("key %q: want 1 to %d letters, digits, '-' or '_', not starting with '-'", key, maxKey)
	}
	for _, c := range []byte(key) {
		if !keyByte(c) {
			return fmt.Errorf("key %q: %q is not allowed, use letters, digits, '-' and '_'", key, c)
		}
	}
	return nil
}

// SafeKey makes a key of a stranger's path. Slashes become '_'. A path with
// other characters than keys have, or a long one, gets them replaced and a hash
// of the whole appended, so that different paths have different keys.
func SafeKey(path string) string {
	key := []byte(strings.ReplaceAll(path, "/", "_"))
	if CheckKey(string(key)) == nil {
		return string(key)
	}
	for i, c := range key {
		if !keyByte(c) || i == 0 && c == '-' {
			key[i] = '_'
		}
	}
	sum := sha256.Sum256([]byte(path))
	return fmt.Sprintf("%s-%x", key[:min(len(key), maxKey-17)], sum[:8])
}

func keyByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// imageFormat returns the sample format of a member's extension, "" if it is
// not an image's.
func imageFormat(ext string) string {
	switch ext {
	case "png", "jpg", "webp", "gif":
		return ext
	case "jpeg":
		return "jpg"
	}
	return ""
}

// Limits bound what Read accepts of one sample. Zero fields mean the defaults.
type Limits struct {
	Image   int64 `json:"image,omitempty"`   // bytes; default 32 MiB
	Caption int64 `json:"caption,omitempty"` // bytes; default 64 KiB
	Facts   int64 `json:"facts,omitempty"`   // bytes; default 1 MiB
}

// WithDefaults fills the zero fields in.
func (l Limits) WithDefaults() Limits {
	if l.Image == 0 {
		l.Image = 32 << 20
	}
	if l.Caption == 0 {
		l.Caption = 64 << 10
	}
	if l.Facts == 0 {
		l.Facts = 1 << 20
	}
	return l
}

// check refuses samples that Read would not give back.
func check(s *sample.Sample, lim Limits) error {
	if err := CheckKey(s.Key); err != nil {
		return err
	}
	switch {
	case imageFormat(s.Format) != s.Format || s.Format == "":
		return fmt.Errorf("sample %s: image format %q: want png, jpg, webp or gif", s.Key, s.Format)
	case len(s.Image) == 0:
		return fmt.Errorf("sample %s: no image", s.Key)
	case int64(len(s.Image)) > lim.Image:
		return fmt.Errorf("sample %s: image of %d bytes, the limit is %d", s.Key, len(s.Image), lim.Image)
	case int64(len(s.Caption)) > lim.Caption:
		return fmt.Errorf("sample %s: caption of %d bytes, the limit is %d", s.Key, len(s.Caption), lim.Caption)
	}
	return nil
}
