package kernel

//go:generate go -C asmgen run . -level avx512 -out ../zz_avx512_amd64.s -stubs ../zz_avx512_amd64.go -pkg kernel
//go:generate go -C asmgen run . -level avx2 -out ../zz_avx2_amd64.s -stubs ../zz_avx2_amd64.go -pkg kernel

func isaOf(l Level) *isa {
	switch l {
	case AVX512:
		return &avx512ISA
	case AVX2:
		return &avx2ISA
	default:
		return &portableISA
	}
}

var avx512ISA = isa{
	tile: tiler{
		mr: 14, nr: 32, low: 6, stores: masked, packHalf: packRows1AVX512, packWhole: packRows2AVX512, packColumns: packColumnsAVX512, packTiles: packTilesAVX512, packPanels: packPanelsAVX512,
		block: blocking{k: 512, tiles: 12, panels: 4, columns: 2048, direct: 16},
		tiles: [3][maxTileRows + 1]func(t *byte){
			halfPanel: {nil, tile1x1AVX512, tile2x1AVX512, tile3x1AVX512, tile4x1AVX512, tile5x1AVX512, tile6x1AVX512, tile7x1AVX512, tile8x1AVX512, tile9x1AVX512, tile10x1AVX512, tile11x1AVX512, tile12x1AVX512, tile13x1AVX512, tile14x1AVX512},
			onePanel:  {nil, tile1x2AVX512, tile2x2AVX512, tile3x2AVX512, tile4x2AVX512, tile5x2AVX512, tile6x2AVX512, tile7x2AVX512, tile8x2AVX512, tile9x2AVX512, tile10x2AVX512, tile11x2AVX512, tile12x2AVX512, tile13x2AVX512, tile14x2AVX512},
			twoPanels: {nil, tile1x4AVX512, tile2x4AVX512, tile3x4AVX512, tile4x4AVX512, tile5x4AVX512, tile6x4AVX512},
		},
	},
	sum:            sumAVX512,
	max:            maxAVX512,
	dot:            dotAVX512,
	sqDev:          sqDevAVX512,
	add:            addAVX512,
	mul:            mulAVX512,
	axpy:           axpyAVX512,
	combine:        combineAVX512,
	scale:          scaleAVX512,
	affine:         affineAVX512,
	lerp:           lerpAVX512,
	expSum:         expSumAVX512,
	softmaxRow:     softmaxRowAVX512,
	softmaxGradRow: softmaxGradRowAVX512,
	softmaxGrad:    softmaxGradAVX512,
	normApply:      normApplyAVX512,
	normParams:     normParamsAVX512,
	normSums:       normSumsAVX512,
	normGrad:       normGradAVX512,
	swiglu:         swigluAVX512,
	swigluGrad:     swigluGradAVX512,
	rotate:         rotateAVX512,
	adamw:          adamwAVX512,
	sumSq:          sumSqAVX512,
	activate:       [activations]func(dst, x []float32){copyGo, geluTanhAVX512, geluErfAVX512, siluAVX512, quickGELUAVX512},
	activateGrad:   [activations]func(dst, x, dy []float32){identityGradGo, geluTanhGradAVX512, geluErfGradAVX512, siluGradAVX512, quickGELUGradAVX512},
}

var avx2ISA = isa{
	tile: tiler{
		mr: 6, nr: 16, low: 2, stores: whole, packHalf: packRows1AVX2, packWhole: packRows2AVX2, packColumns: packColumnsAVX2, packTiles: packTilesAVX2, packPanels: packPanelsAVX2,
		block: blocking{k: 512, tiles: 16, panels: 8, columns: 2048, direct: 64},
		tiles: [3][maxTileRows + 1]func(t *byte){
			halfPanel: {nil, tile1x1AVX2, tile2x1AVX2, tile3x1AVX2, tile4x1AVX2, tile5x1AVX2, tile6x1AVX2},
			onePanel:  {nil, tile1x2AVX2, tile2x2AVX2, tile3x2AVX2, tile4x2AVX2, tile5x2AVX2, tile6x2AVX2},
			twoPanels: {nil, tile1x4AVX2, tile2x4AVX2},
		},
	},
	sum:            sumAVX2,
	max:            maxAVX2,
	dot:            dotAVX2,
	sqDev:          sqDevAVX2,
	add:            addAVX2,
	mul:            mulAVX2,
	axpy:           axpyAVX2,
	combine:        combineAVX2,
	scale:          scaleAVX2,
	affine:         affineAVX2,
	lerp:           lerpAVX2,
	expSum:         expSumAVX2,
	softmaxRow:     softmaxRowAVX2,
	softmaxGradRow: softmaxGradRowAVX2,
	softmaxGrad:    softmaxGradAVX2,
	normApply:      normApplyAVX2,
	normParams:     normParamsAVX2,
	normSums:       normSumsAVX2,
	normGrad:       normGradAVX2,
	swiglu:         swigluAVX2,
	swigluGrad:     swigluGradAVX2,
	rotate:         rotateAVX2,
	adamw:          adamwAVX2,
	sumSq:          sumSqAVX2,
	activate:       [activations]func(dst, x []float32){copyGo, geluTanhAVX2, geluErfAVX2, siluAVX2, quickGELUAVX2},
	activateGrad:   [activations]func(dst, x, dy []float32){identityGradGo, geluTanhGradAVX2, geluErfGradAVX2, siluGradAVX2, quickGELUGradAVX2},
}
