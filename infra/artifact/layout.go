package artifact

import "path"

// The layout of the bucket. Every name that Tempera writes comes from here.

// BlobName is where immutable bytes live.
func BlobName(d Digest) string { return path.Join("cas/sha256", d.Hex()[:2], d.Hex()) }

// CommitName is the committed result of a stage; its appearance is the commit.
func CommitName(key string) string { return path.Join("stages", key+".json") }

// RunName is a file of a readable run folder.
func RunName(pipeline, run, file string) string { return path.Join("runs", pipeline, run, file) }

// CheckpointPrefix holds the checkpoints of a stage that is still running.
func CheckpointPrefix(key string) string { return path.Join("checkpoints", key) + "/" }

// ModelName is a file of a published model version.
func ModelName(model, version, file string) string { return path.Join("models", model, version, file) }

// DatasetName is a file of a published data set version.
func DatasetName(name, version, file string) string {
	return path.Join("datasets", name, version, file)
}

// AliasName is where an alias (champion, candidate) of a model is kept.
func AliasName(model string) string { return path.Join("aliases", model+".json") }
