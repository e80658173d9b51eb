package webdataset

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
	"tempera/datagen/source/scenes"
	"tempera/datagen/source/sourcetest"
	"tempera/infra/artifact/mem"
)

func shardOf(t *testing.T, keys ...string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, k := range keys {
		for _, m := range [][2]string{{k + ".png", "image"}, {k + ".txt", "caption " + k}} {
			require.NoError(t, w.WriteHeader(&tar.Header{Name: m[0], Size: int64(len(m[1])), Mode: 0o644}))
			_, err := w.Write([]byte(m[1]))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
}

// outcome lists keys with captions, and the reasons of faults.
func outcome(s *Source) (got []string, fatal error) {
	for made, err := range s.Samples(context.Background(), 0) {
		var fault *sample.Fault
		switch {
		case err == nil:
			got = append(got, made.Key+"="+made.Caption)
		case isFault(err):
			errors.As(err, &fault)
			got = append(got, fault.Reason)
		default:
			fatal = err
		}
	}
	return got, fatal
}

func TestFolders(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		params Params
		want   []string
	}{
		{"images with text beside them", map[string]string{"b.png": "i", "b.txt": "B\n", "sub/a b.jpeg": "i", "sub/a b.txt": "A", "notes.md": "x"}, Params{}, []string{"b=B", "sub_a_b-d7c8f4a5=A"}},
		{"captions in json", map[string]string{"a.png": "i", "a.json": `{"text":"J"}`}, Params{JSONKey: "text"}, []string{"a=J"}},
		{"an image without text", map[string]string{"a.png": "i", "b.png": "i", "b.txt": "B"}, Params{}, []string{sample.ReasonNoCaption, "b=B"}},
		{"an empty image", map[string]string{"a.png": "", "a.txt": "A"}, Params{}, []string{sample.ReasonBroken}},
		{"an image above the limit", map[string]string{"a.png": "1234", "a.txt": "A"}, Params{Limits: Limits{Image: 3}}, []string{sample.ReasonSize}},
		{"json lines", map[string]string{
			"metadata.jsonl": `{"image":"img/a.png","caption":"A"}` + "\n\n" + `{"image":"../a.png","caption":"A"}` + "\n" + `{"image":"/etc/passwd","caption":"A"}` +
				"\n" + `{"image":"none.png","caption":"A"}` + "\n" + `{"image":"img/a.txt","caption":"A"}` + "\nno json\n" + `{"caption":"A"}` + "\n" + `{"image":"img/a.png"}`,
			"img/a.png": "i", "img/a.txt": "x",
		}, Params{}, []string{"img_a=A", sample.ReasonPath, sample.ReasonPath, sample.ReasonUnreadable, sample.ReasonFormat, sample.ReasonFacts, sample.ReasonNoImage, sample.ReasonNoCaption}},
		{"json lines with other keys", map[string]string{"metadata.jsonl": `{"file_name":"a.png","text":"A"}`, "a.png": "i"}, Params{Image: "file_name", Text: "text"}, []string{"a=A"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, c.files)
			c.params.From = []string{dir}
			got, fatal := outcome(&Source{Params: c.params})
			require.NoError(t, fatal)
			require.Len(t, got, len(c.want))
			for i, want := range c.want {
				if key, caption, ok := strings.Cut(want, "-d7c8f4a5"); ok { // a key with a hash
					require.True(t, strings.HasPrefix(got[i], key+"-") && strings.HasSuffix(got[i], caption), got[i])
					continue
				}
				require.Equal(t, want, got[i])
			}
		})
	}
}

func TestAFolderWithoutPairsIsAnErrorThatSaysWhatItWants(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, map[string]string{"notes.md": "x"})
	_, fatal := outcome(&Source{Params: Params{From: []string{dir}}})
	require.ErrorIs(t, fatal, ErrNothing)
	require.ErrorContains(t, fatal, dir)
}

func TestLinksThatLeaveTheFolderAreRefused(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put(t, outside, map[string]string{"secret.png": "i"})
	put(t, dir, map[string]string{"a.txt": "A", "b.png": "i", "b.txt": "B"})
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret.png"), filepath.Join(dir, "a.png")))
	got, fatal := outcome(&Source{Params: Params{From: []string{dir}}})
	require.NoError(t, fatal)
	require.Equal(t, []string{sample.ReasonPath, "b=B"}, got)
}

func TestShardsFromEverywhere(t *testing.T) {
	dir, store := t.TempDir(), mem.New()
	put(t, dir, map[string]string{"x-000.tar": string(shardOf(t, "0", "1")), "x-001.tar": string(shardOf(t, "0"))})
	for name, data := range map[string][]byte{"mine/b.tar": shardOf(t, "b"), "mine/a.tar": shardOf(t, "a"), "mine/readme.md": nil} {
		require.NoError(t, store.Create(context.Background(), name, data))
	}
	server := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer server.Close()
	for _, c := range []struct {
		name string
		from []string
		want []string
	}{
		{"a folder of shards", []string{dir}, []string{"0=caption 0", "1=caption 1", "s00001-0=caption 0"}},
		{"one file", []string{filepath.Join(dir, "x-001.tar")}, []string{"0=caption 0"}},
		{"braces in a URL", []string{server.URL + "/x-{000..001}.tar"}, []string{"0=caption 0", "1=caption 1", "s00001-0=caption 0"}},
		{"names in the store", []string{"store:mine/"}, []string{"a=caption a", "s00001-b=caption b"}},
		{"several places", []string{filepath.Join(dir, "x-{001,000}.tar"), "store:mine/b"}, []string{"0=caption 0", "s00001-0=caption 0", "s00001-1=caption 1", "s00002-b=caption b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, fatal := outcome(&Source{Params: Params{From: c.from}, Names: store})
			require.NoError(t, fatal)
			require.Equal(t, c.want, got)
		})
	}
	got, fatal := outcome(&Source{Params: Params{From: []string{dir}}, Count: 2})
	require.NoError(t, fatal)
	require.Len(t, got, 2)
}

func TestABrokenShardIsAFaultAndABrokenConnectionIsNot(t *testing.T) {
	whole := shardOf(t, "a", "b")
	dir := t.TempDir()
	put(t, dir, map[string]string{"x-0.tar": string(whole[:2500]), "x-1.tar": string(whole), "x-2.tar": strings.Repeat("junk", 400)})
	got, fatal := outcome(&Source{Params: Params{From: []string{dir}}})
	require.NoError(t, fatal)
	require.Equal(t, []string{"a=caption a", sample.ReasonArchive, "s00001-a=caption a", "s00001-b=caption b", sample.ReasonArchive}, got)

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/none.tar" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", "5000")
		_, _ = w.Write(whole[:2500])
	}))
	defer server.Close()
	_, fatal = outcome(&Source{Params: Params{From: []string{server.URL + "/cut.tar"}}})
	require.ErrorContains(t, fatal, "unexpected EOF")
	_, fatal = outcome(&Source{Params: Params{From: []string{server.URL + "/none.tar"}}})
	require.ErrorContains(t, fatal, "404")
}

func TestPlacesThatAreNotThere(t *testing.T) {
	for from, want := range map[string]string{
		"/nowhere/at/all": "no such file", "store:none/": "no name under it", "ftp://x/y.tar": "use http://", "x-{1..}.tar": "rising numbers",
		os.Args[0]: "neither a folder nor", "": "empty place",
	} {
		_, fatal := outcome(&Source{Params: Params{From: []string{from}}, Names: mem.New()})
		require.ErrorContains(t, fatal, want, from)
	}
	_, fatal := outcome(&Source{})
	require.ErrorContains(t, fatal, "from is empty")
}

func TestExpand(t *testing.T) {
	for pattern, want := range map[string]string{
		"a.tar": "a.tar", "a-{08..11}": "a-08 a-09 a-10 a-11", "{0..2}": "0 1 2", "{a,b}{1..2}": "a1 a2 b1 b2", "{000..001}.tar": "000.tar 001.tar",
	} {
		got, err := Expand(pattern)
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(got, " "))
	}
	for _, pattern := range []string{"{", "{}", "{1}", "{2..1}", "{0..9999999}", "{0..999}{0..999}", "{a..b}"} {
		_, err := Expand(pattern)
		require.Error(t, err, pattern)
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("x-{000..003}.{tar,tgz}")
	f.Fuzz(func(t *testing.T, pattern string) {
		got, err := Expand(pattern)
		if err == nil && (len(got) == 0 || len(got) > maxExpand) {
			t.Fatalf("%q: %d", pattern, len(got))
		}
	})
}

func TestADatasetOfOursKeepsItsFacts(t *testing.T) {
	made := []sample.Sample{}
	for s, err := range (&scenes.Source{Count: 3}).Samples(context.Background(), 1) {
		require.NoError(t, err)
		made = append(made, s)
	}
	require.Equal(t, "web", strangersFacts(sample.Facts{}).Origin)
	require.Equal(t, made[0].Facts, strangersFacts(made[0].Facts))
}

func TestSource(t *testing.T) {
	dir := t.TempDir()
	for i := range 12 {
		m := picture.New(4, 4+i)
		data, err := m.PNG()
		require.NoError(t, err)
		put(t, dir, map[string]string{fmt.Sprintf("sub/%02d.png", i): string(data), fmt.Sprintf("sub/%02d.txt", i): "a caption"})
	}
	sourcetest.Run(t, func(*testing.T) sourcetest.Source { return &Source{Params: Params{From: []string{dir}}} })
}
