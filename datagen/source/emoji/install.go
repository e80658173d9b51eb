package emoji

import (
	"context"
	"os"
	"path/filepath"

	"tempera/datagen/source/npm"
)

// packages hold the drawings, names and keywords.
var packages = npm.Set{
	Name: Name, What: "emoji drawings", Size: "about 40 MB",
	Remedy: "use the generated pictures instead (source: scenes), which need nothing",
	Packages: []npm.Package{
		{Name: "emoji-datasource-google", Version: "16.0.0"},
		{Name: "emoji-datasource-twitter", Version: "16.0.0"},
		{Name: "emojilib", Version: "4.0.3"},
	},
	Trim: trim,
}

// Installed reports whether the drawings are in the data folder dir.
func Installed(dir string) bool { return packages.Installed(dir) }

// Install puts the drawings into the data folder dir, once, see npm.Set.
func Install(ctx context.Context, dir string, progress func(string)) error {
	return packages.Install(ctx, dir, progress)
}

// trim removes the sprite sheets, nine tenths of the packages.
func trim(dir string) error {
	sheets, err := filepath.Glob(filepath.Join(dir, "node_modules", "*", "img", "*", "sheets*"))
	if err != nil {
		return err
	}
	for _, s := range sheets {
		if err := os.RemoveAll(s); err != nil {
			return err
		}
	}
	return nil
}
