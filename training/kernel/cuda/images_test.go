package cuda

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

// manifest has a line for each image, in the order of their names: the name, its SHA-256, and that of its sources, as build.sh writes it.
const manifest = "images.sha256"

// kinds of images there are of each kernel.
var kinds = []string{".compute_80.ptx", ".sm_90.cubin"}

func TestImagesBelongToTheirSources(t *testing.T) {
	faults, err := stale(os.DirFS("."))
	require.NoError(t, err)
	require.Empty(t, faults, "compile the kernels again: go tool task generate:cuda -- FILE.cu")
}

// whole is a folder without faults: sine comes with two headers, one by way of the other, and one that only the fake device includes.
func whole(t *testing.T) fstest.MapFS {
	t.Helper()
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"sine.cu": "#include \"row.cuh\"\n", "row.cuh": "#include \"device.cuh\"\n", "device.cuh": "#include <stdint.h>\n  #include \"fake/host.h\"\n",
		"sum.cu":                     "#include \"device.cuh\"\n",
		"images/sine.compute_80.ptx": "a", "images/sine.sm_90.cubin": "b", "images/sum.compute_80.ptx": "c", "images/sum.sm_90.cubin": "d",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	var lines []byte
	for _, name := range []string{"sine", "sum"} {
		from, err := sourcesHash(files, name+".cu")
		require.NoError(t, err)
		for _, kind := range kinds {
			lines = fmt.Appendf(lines, "%s %x %s\n", name+kind, sha256.Sum256(files["images/"+name+kind].Data), from)
		}
	}
	files[manifest] = &fstest.MapFile{Data: lines}
	return files
}

func TestWhatDoesNotBelongTogetherIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		change func(files fstest.MapFS)
		want   []string
	}{
		"nothing": {func(fstest.MapFS) {}, nil},
		"a header that comes by way of another": {
			func(f fstest.MapFS) { f["device.cuh"].Data = append(f["device.cuh"].Data, ' ') },
			[]string{
				"sine.compute_80.ptx: the sources are newer", "sine.sm_90.cubin: the sources are newer",
				"sum.compute_80.ptx: the sources are newer", "sum.sm_90.cubin: the sources are newer",
			},
		},
		"a header of one kernel": {
			func(f fstest.MapFS) { f["row.cuh"].Data = append(f["row.cuh"].Data, ' ') },
			[]string{"sine.compute_80.ptx: the sources are newer", "sine.sm_90.cubin: the sources are newer"},
		},
		"an image": {
			func(f fstest.MapFS) { f["images/sum.sm_90.cubin"].Data[0]++ },
			[]string{"sum.sm_90.cubin: the image is another one"},
		},
		"a new kernel": {
			func(f fstest.MapFS) { f["tan.cu"] = f["sum.cu"] },
			[]string{"tan.compute_80.ptx: there is no such image", "tan.sm_90.cubin: there is no such image"},
		},
		"a kernel that is gone": {
			func(f fstest.MapFS) { delete(f, "sum.cu") },
			[]string{"sum.compute_80.ptx: it has no source", "sum.sm_90.cubin: it has no source"},
		},
		"an image that is not listed": {
			func(f fstest.MapFS) {
				_, rest, _ := strings.Cut(string(f[manifest].Data), "\n")
				f[manifest].Data = []byte(rest)
			},
			[]string{"sine.compute_80.ptx: " + manifest + " does not have it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			files := whole(t)
			c.change(files)
			faults, err := stale(files)
			require.NoError(t, err)
			require.Equal(t, c.want, faults)
		})
	}
}

// stale lists what is wrong with the images of a folder.
func stale(folder fs.FS) (faults []string, err error) {
	text, err := fs.ReadFile(folder, manifest)
	if err != nil {
		return nil, err
	}
	listed := map[string][2]string{}
	for line := range strings.Lines(string(text)) {
		var name, image, sources string
		if _, err := fmt.Sscan(line, &name, &image, &sources); err != nil {
			return nil, fmt.Errorf("%s: line %q: %w", manifest, line, err)
		}
		listed[name] = [2]string{image, sources}
	}
	kernels, err := fs.Glob(folder, "*.cu")
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, source := range kernels {
		from, err := sourcesHash(folder, source)
		if err != nil {
			return nil, err
		}
		for _, kind := range kinds {
			name := strings.TrimSuffix(source, ".cu") + kind
			known[name] = true
			image, err := fs.ReadFile(folder, "images/"+name)
			line, ok := listed[name]
			switch {
			case err != nil:
				faults = append(faults, name+": there is no such image")
			case !ok:
				faults = append(faults, name+": "+manifest+" does not have it")
			case line[0] != fmt.Sprintf("%x", sha256.Sum256(image)):
				faults = append(faults, name+": the image is another one")
			case line[1] != from:
				faults = append(faults, name+": the sources are newer")
			}
		}
	}
	images, err := fs.Glob(folder, "images/*")
	for _, image := range images {
		listed[path.Base(image)] = [2]string{}
	}
	for _, name := range slices.Sorted(maps.Keys(listed)) {
		if !known[name] {
			faults = append(faults, name+": it has no source")
		}
	}
	return faults, err
}

var include = regexp.MustCompile(`(?m)^ *#include "([^"/]*)"$`)

// sourcesHash is the hash of what sha256sum prints for a file and all headers of the folder that come with it.
func sourcesHash(folder fs.FS, file string) (string, error) {
	hashes := map[string][sha256.Size]byte{}
	for todo := []string{file}; len(todo) > 0; todo = todo[1:] {
		name := path.Clean(todo[0])
		if _, seen := hashes[name]; seen {
			continue
		}
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return "", err
		}
		hashes[name] = sha256.Sum256(text)
		for _, m := range include.FindAllSubmatch(text, -1) {
			todo = append(todo, string(m[1]))
		}
	}
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(hashes)) {
		fmt.Fprintf(all, "%x  %s\n", hashes[name], name)
	}
	return fmt.Sprintf("%x", all.Sum(nil)), nil
}
