package artifact

import (
	"fmt"
	"path"
	"strings"
)

// The layout of the bucket. Every name that Tempera writes comes from here.

// BlobName is where immutable bytes live.
func BlobName(d Digest) string { return path.Join("cas/sha256", d.Hex()[:2], d.Hex()) }

// CommitName is the committed result of a stage; its appearance is the commit.
func CommitName(key string) string { return path.Join("stages", key+".json") }

// RunName is a file of a readable run folder.
func RunName(pipeline, run, file string) string { return path.Join("runs", pipeline, run, file) }

// CheckpointPrefix holds the checkpoints of a stage that is still running.
func CheckpointPrefix(key string) string { return path.Join("checkpoints", key) + "/" }

// AliasName is where an alias (champion, candidate) of a model is kept.
func AliasName(model string) string { return path.Join("aliases", model+".json") }

// BlobDigest is the inverse of BlobName; ok is false for any other name.
func BlobDigest(name string) (d Digest, ok bool) {
	d, err := ParseDigest("sha256:" + path.Base(name))
	return d, err == nil && BlobName(d) == name
}

// CheckName reports whether a name can be stored everywhere: relative, clean,
// slash-separated, at most 1,024 bytes, without control characters.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > 1024:
		return fmt.Errorf("name %q: want 1 to 1,024 bytes", name)
	case name[0] == '/' || path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		return fmt.Errorf("name %q: want a relative path without empty, . or .. elements", name)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '\uFFFD' }):
		return fmt.Errorf("name %q: control characters, backslashes and invalid UTF-8 are not allowed", name)
	}
	return nil
}

// ContentType is the media type that a name's extension stands for, so that a
// browser opens what a person clicks in the store's console.
func ContentType(name string) string {
	switch strings.ToLower(path.Ext(name)) {
	case ".json":
		return "application/json"
	case ".jsonl", ".log", ".txt", ".yaml", ".yml", ".csv":
		return "text/plain; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".md":
		return "text/markdown; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".webp":
		return "image/webp"
	case ".tar":
		return "application/x-tar"
	}
	return "application/octet-stream"
}
