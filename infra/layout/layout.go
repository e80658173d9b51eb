// Package layout holds the rule of who may import whom, and the checker behind
// the test that enforces it.
//
// The rule keeps the parts apart that must not know each other: workflows are
// replayed, so no kernel, no cgo and no clock may come near them; infra is
// beneath everything; the pure packages do no I/O.
package layout

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Rule says which of the module's packages the packages of one folder may
// import. Imports of other modules are not its business.
type Rule struct {
	Folder string   // "workflows": the folder and everything below it
	May    []string // folders; below includes everything below them
	Why    string
}

// Rules returns the rules. A package obeys the rule with the longest folder
// that holds it; every folder may import what lies in itself, except where a
// rule of its own says otherwise.
func Rules() []Rule {
	return []Rule{
		{Folder: "workflows", May: []string{"workflows", "infra/artifact", "infra/temporalx"}, Why: "workflows call kinds by name, so that kernels and cgo stay out of replay"},
		{Folder: "workflows/dag", May: []string{"workflows/dag", "workflows/stage", "infra/artifact"}, Why: "the plan is pure"},
		{Folder: "workflows/stage", May: []string{"workflows/stage", "infra/artifact"}, Why: "the contract is pure data"},
		{Folder: "activities", May: []string{"activities", "workflows/dag", "workflows/stage", "datagen", "training", "serving", "infra"}, Why: "activities know the contract, never the workflows"},
		{Folder: "datagen", May: []string{"datagen", "infra/artifact"}, Why: "data needs the store at most"},
		{Folder: "datagen/chat", May: []string{"datagen", "training/tokenizer"}, Why: "rows become tokens by the tokenizer and the template of a model"},
		{Folder: "datagen/sample", May: []string{"datagen/sample"}, Why: "the record is beneath sources, transforms and shards"},
		{Folder: "training", May: []string{"training", "infra/artifact"}, Why: "training needs the store at most"},
		{Folder: "training/kernel", May: []string{"training/kernel"}, Why: "kernels know slices only"},
		{Folder: "training/device", May: []string{"training/device", "training/kernel"}, Why: "each layer of the engine knows only those below"},
		{Folder: "training/graph", May: []string{"training/graph", "training/device", "training/kernel"}, Why: "each layer of the engine knows only those below"},
		{Folder: "training/op", May: []string{"training/op", "training/graph", "training/device", "training/kernel"}, Why: "each layer of the engine knows only those below"},
		{Folder: "training/checkpoint", May: []string{"training/checkpoint"}, Why: "the format of a file knows no model"},
		{Folder: "training/hf", May: []string{"training/hf", "training/model", "training/checkpoint", "training/device"}, Why: "a layout of files knows models and nothing of how they are trained, kept or tokenised"},
		{Folder: "serving", May: []string{"serving", "training/model", "training/op", "training/kernel", "training/device", "training/checkpoint"}, Why: "serving loads models and never trains"},
		{Folder: "infra", May: []string{"infra"}, Why: "infra is beneath everything"},
		{Folder: "infra/artifact", May: []string{"infra/artifact"}, Why: "the store's contract needs nothing"},
		{Folder: "docs", May: []string{"docs", "activities", "workflows"}, Why: "only what documentation is generated from"},
		{Folder: "cmd", May: []string{"cmd", "activities", "datagen", "infra", "serving", "training", "workflows"}, Why: "nothing imports a command"},
	}
}

// Import is one import of one file of the module.
type Import struct {
	File string // slash-separated, relative to the module's root
	Path string // of the imported package, relative to the module's root
}

// Check returns every fault of the imports against the rules, in order.
func Check(imports []Import, rules []Rule) []string {
	var faults []string
	for _, i := range imports {
		folder := path.Dir(i.File)
		rule, ok := find(rules, folder)
		if !ok {
			faults = append(faults, fmt.Sprintf("%s: no rule for folder %s: add one to infra/layout", i.File, folder))
			continue
		}
		if strings.HasSuffix(i.File, "_test.go") && forTests(i) {
			continue
		}
		if !slices.ContainsFunc(rule.May, func(may string) bool { return within(i.Path, may) }) {
			faults = append(faults, fmt.Sprintf("%s imports %s: %s may import %s (%s)", i.File, i.Path, rule.Folder, strings.Join(rule.May, ", "), rule.Why))
		}
	}
	return faults
}

// forTests reports what a test may import beside its package's rule: its own
// top folder, the real servers, suites that exist for tests, and, of serving,
// the training graphs that decoding is held against.
func forTests(i Import) bool {
	top, _, _ := strings.Cut(i.File, "/")
	return within(i.Path, top) || top == "serving" && within(i.Path, "training") || within(i.Path, "infra") || strings.HasSuffix(path.Base(i.Path), "test")
}

// find returns the rule with the longest folder that holds folder.
func find(rules []Rule, folder string) (Rule, bool) {
	var best Rule
	for _, r := range rules {
		if within(folder, r.Folder) && len(r.Folder) > len(best.Folder) {
			best = r
		}
	}
	return best, best.Folder != ""
}

func within(folder, in string) bool { return folder == in || strings.HasPrefix(folder, in+"/") }

// Imports reads which of the module's own packages its files import. Folders
// with a module of their own, hidden ones and testdata are left out; files are
// read whatever their build tags.
func Imports(root fs.FS, module string) ([]Import, error) {
	var found []Import
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, name)
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		src, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ImportsOnly)
		if err != nil {
			return fmt.Errorf("imports of %s: %w", name, err)
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("imports of %s: %w", name, err)
			}
			if own, ok := strings.CutPrefix(imported, module+"/"); ok {
				found = append(found, Import{File: name, Path: own})
			}
		}
		return nil
	})
	return found, err
}

func skip(root fs.FS, name string) error {
	if name == "." {
		return nil
	}
	base := path.Base(name)
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}
