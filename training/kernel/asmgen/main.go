// Command asmgen writes the assembly of package kernel: one file of functions and one of Go declarations per level.
//
//	go run . -level avx512 -out ../zz_avx512_amd64.s -stubs ../zz_avx512_amd64.go -pkg kernel
//
// It is a module of its own, so that the product does not depend on the generator. Start reading at machine.go.
package main

import (
	"flag"
	"log"

	. "github.com/mmcloughlin/avo/build"
)

func main() {
	level := flag.String("level", "avx512", "avx512 or avx2")
	flag.Parse()
	switch *level {
	case "avx512":
		cpu = avx512
	case "avx2":
		cpu = avx2
	default:
		log.Fatalf("unknown level %q: use avx512 or avx2", *level)
	}
	ConstraintExpr("amd64")
	tiles()
	packs()
	combine()
	reductions()
	elementwise()
	exponentials()
	norms()
	rotations()
	optimizers()
	Generate()
}
