package library

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestCandidatesAreThoseOfTheFoldersAndVersions(t *testing.T) {
	home := t.TempDir()
	t.Setenv("CUDA_HOME", home)
	t.Setenv("LIBRARY", "")
	file := filepath.Join(home, "lib64", "libx.so.2")
	if err := os.Mkdir(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, want := Candidates("LIBRARY", "libx.so.3", "libx.so.2"), []string{"libx.so.3", "libx.so.2", file}; !slices.Equal(got, want) {
		t.Errorf("the candidates are %v, want %v", got, want)
	}
	t.Setenv("LIBRARY", "/a/file")
	if got := Candidates("LIBRARY", "libx.so.2"); !slices.Equal(got, []string{"/a/file"}) {
		t.Errorf("the candidates are %v, want the named file", got)
	}
}
