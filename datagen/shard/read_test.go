package shard

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/sample"
)

type member struct{ name, data string }

func tarOf(t testing.TB, members ...any) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, m := range members {
		h, data := tar.Header{Mode: 0o644}, ""
		switch m := m.(type) {
		case member:
			h.Name, h.Size, data = m.name, int64(len(m.data)), m.data
		case tar.Header:
			h = m
		}
		require.NoError(t, w.WriteHeader(&h))
		_, err := w.Write([]byte(data))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

// outcome is what Read yields: keys, and the reasons of faults.
func outcome(data []byte, lim Limits, fields Fields) (got []string, fatal error) {
	for s, err := range ReadFields(context.Background(), bytes.NewReader(data), lim, fields) {
		var fault *sample.Fault
		switch {
		case err == nil:
			got = append(got, s.Key+"="+s.Caption)
		case errors.As(err, &fault):
			got = append(got, fault.Reason)
		default:
			fatal = err
		}
	}
	return got, fatal
}

func TestReadOfStrangersShards(t *testing.T) {
	img, txt := member{"a.png", "i"}, member{"a.txt", "A"}
	next := []any{member{"z.jpg", "i"}, member{"z.txt", "Z"}}
	for _, c := range []struct {
		name    string
		members []any
		fields  Fields
		want    []string
	}{
		{"a pair", []any{img, txt}, Fields{}, []string{"a=A"}},
		{"members of other kinds are ignored", []any{img, member{"a.cls", "1"}, member{"a.seg.png", "x"}, txt}, Fields{}, []string{"a=A"}},
		{"folders become part of the key", []any{tar.Header{Name: "d/", Typeflag: tar.TypeDir}, member{"./d/a.png", "i"}, member{"./d/a.txt", "A"}}, Fields{}, []string{"d_a=A"}},
		{"upper-case extensions", []any{member{"a.JPEG", "i"}, member{"a.TXT", "A"}}, Fields{}, []string{"a=A"}},
		{"facts with other fields", []any{img, txt, member{"a.json", `{"width":3,"source":"s"}`}}, Fields{}, []string{"a=A"}},
		{"facts whose fields have other types", []any{img, txt, member{"a.json", `{"source":3}`}}, Fields{}, []string{"a=A"}},
		{"a caption from json", []any{img, member{"a.json", `{"text":"J"}`}}, Fields{JSONKey: "text"}, []string{"a=J"}},
		{"a caption with another extension", []any{img, txt, member{"a.caption", "C"}}, Fields{Caption: "caption"}, []string{"a=C"}},
		{"json without the key", []any{img, member{"a.json", `{}`}}, Fields{JSONKey: "text"}, []string{sample.ReasonNoCaption}},
		{"no caption", append([]any{img}, next...), Fields{}, []string{sample.ReasonNoCaption, "z=Z"}},
		{"an empty caption", append([]any{img, member{"a.txt", " \n"}}, next...), Fields{}, []string{sample.ReasonNoCaption, "z=Z"}},
		{"no image", append([]any{txt}, next...), Fields{}, []string{sample.ReasonNoImage, "z=Z"}},
		{"an empty image", append([]any{member{"a.png", ""}, txt}, next...), Fields{}, []string{sample.ReasonBroken, "z=Z"}},
		{"a caption that is not text", append([]any{img, member{"a.txt", "\xff\xfe"}}, next...), Fields{}, []string{sample.ReasonCaption, "z=Z"}},
		{"json that is none", append([]any{img, txt, member{"a.json", "{"}}, next...), Fields{}, []string{sample.ReasonFacts, "z=Z"}},
		{"two images", append([]any{img, member{"a.jpg", "j"}, txt}, next...), Fields{}, []string{sample.ReasonDuplicate, "z=Z"}},
		{"a key that comes again", append([]any{img, txt, member{"b.png", "i"}, member{"b.txt", "B"}, img, txt}, next...), Fields{}, []string{"a=A", "b=B", sample.ReasonDuplicate, "z=Z"}},
		{"an image above the limit", append([]any{member{"a.png", strings.Repeat("x", 101)}, txt}, next...), Fields{}, []string{sample.ReasonSize, "z=Z"}},
		{"a path that climbs", append([]any{member{"../a.png", "i"}}, next...), Fields{}, []string{sample.ReasonPath, "z=Z"}},
		{"a path that climbs inside", append([]any{member{"d/../../a.png", "i"}}, next...), Fields{}, []string{sample.ReasonPath, "z=Z"}},
		{"an absolute path", append([]any{member{"/etc/a.png", "i"}}, next...), Fields{}, []string{sample.ReasonPath, "z=Z"}},
		{"a path of another system", append([]any{member{`c:\a.png`, "i"}}, next...), Fields{}, []string{sample.ReasonPath, "z=Z"}},
		{"a name without an extension", append([]any{member{"README", "i"}}, next...), Fields{}, []string{sample.ReasonPath, "z=Z"}},
		{"a symbolic link", append([]any{tar.Header{Name: "a.png", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}, next...), Fields{}, []string{sample.ReasonLink, "z=Z"}},
		{"a device", append([]any{tar.Header{Name: "a.png", Typeflag: tar.TypeChar}}, next...), Fields{}, []string{sample.ReasonLink, "z=Z"}},
		{"nothing", nil, Fields{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, fatal := outcome(tarOf(t, c.members...), Limits{Image: 100}, c.fields)
			require.NoError(t, fatal)
			require.Equal(t, c.want, got)
		})
	}
}

func TestATruncatedArchiveEndsAfterWhatIsWhole(t *testing.T) {
	data := tarOf(t, member{"a.png", "i"}, member{"a.txt", "A"}, member{"b.png", strings.Repeat("i", 2000)}, member{"b.txt", "B"})
	got, fatal := outcome(data[:3600], Limits{}, Fields{})
	require.ErrorContains(t, fatal, sample.ReasonArchive)
	require.Equal(t, []string{"a=A", sample.ReasonArchive}, got)
}

func TestStrangeNamesGetSafeAndDistinctKeys(t *testing.T) {
	keys := map[string]bool{}
	for _, name := range []string{"plain", "with space", "with_space", "日本", "日本語", "-dash", strings.Repeat("long", 40), strings.Repeat("long", 40) + "er"} {
		key := SafeKey(name)
		require.NoError(t, CheckKey(key))
		require.False(t, keys[key], name)
		keys[key] = true
	}
	require.True(t, keys["plain"])
}

func FuzzRead(f *testing.F) {
	f.Add(tarOf(f, member{"a.png", "i"}, member{"a.txt", "A"}, member{"a.json", "{}"}))
	f.Add(tarOf(f, member{"../a.png", "i"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		seen := map[string]bool{}
		for s, err := range Read(context.Background(), bytes.NewReader(data), Limits{Image: 1 << 16}) {
			if err != nil {
				continue
			}
			if CheckKey(s.Key) != nil || seen[s.Key] || len(s.Image) == 0 || len(s.Image) > 1<<16 || s.Caption == "" {
				t.Fatalf("yielded %+v", s)
			}
			seen[s.Key] = true
		}
		entries, err := Index(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, e := range entries {
			if _, err := e.read(bytes.NewReader(data)); err != nil && !strings.Contains(err.Error(), "JSON") {
				t.Fatalf("indexed %+v: %v", e, err)
			}
		}
	})
}
