// Command tempera is the user's side of Tempera: it runs the embedded stack,
// starts pipelines, watches and repairs them, and finds what they made.
package main

import (
	"os"

	"tempera/cmd/tempera/command"
)

func main() { os.Exit(command.Main(os.Args[1:])) }
