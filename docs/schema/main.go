// Command schema writes pipeline.schema.json, the JSON Schema of run files: what
// a pipeline may say, with the parameters of every kind of stage. Editors that
// speak YAML use it where a file begins with
//
//	# yaml-language-server: $schema=../docs/schema/pipeline.schema.json
package main

import (
	"fmt"
	"os"

	"tempera/activities"
	"tempera/workflows/dag"
)

//go:generate go run .

const name = "pipeline.schema.json"

func main() {
	if err := write(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func write() error {
	b, err := dag.Schema(activities.NewCatalog(activities.All()...))
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
