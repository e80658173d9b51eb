package hf

import (
	"math"

	"tempera/training/model"
)

// imagesFile says how images become the numbers that a model sees.
const imagesFile = "preprocessor_config.json"

// half is what our own models take for the mean and the deviation of pixels.
var half = [3]float64{0.5, 0.5, 0.5}

// readImages reads the mean and the deviation of pixels. Without the file they are
// a half. How an image is cut to a square and resized is not the model's: it is
// the loader's.
func (src *Source) readImages(v *model.Vision) error {
	raw, ok := src.Files[imagesFile]
	if !ok {
		return nil
	}
	s, err := parseSettings(imagesFile, raw)
	if err != nil {
		return err
	}
	s.only("do_normalize", true)
	if scale := s.number("rescale_factor", 1.0/255); math.Abs(scale*255-1) > 1e-6 {
		s.fault("rescale_factor", "is %v: only 1/255 is supported", scale)
	}
	mean, std := s.channels("image_mean"), s.channels("image_std")
	if err := s.err(); err != nil {
		return err
	}
	if mean != half || std != half {
		v.Mean, v.Std = mean, std
	}
	return nil
}

// channels reads a number for each channel.
func (s *settings) channels(key string) [3]float64 {
	var v []float64
	if !s.get(key, "three numbers", &v) {
		return half
	}
	if len(v) != 3 {
		s.fault(key, "has %d numbers: it must have three", len(v))
		return half
	}
	return [3]float64(v)
}

// imageProcessor is the content of the file for a model.
func imageProcessor(a architecture, v model.Vision) object {
	names := map[string]string{"clip": "CLIPImageProcessor", "siglip": "SiglipImageProcessor"}
	mean, std := v.Mean, v.Std
	if std == [3]float64{} {
		mean, std = half, half
	}
	o := object{
		"image_processor_type": names[a.modelType], "do_resize": true, "size": object{"height": v.Image, "width": v.Image},
		"do_rescale": true, "rescale_factor": 1.0 / 255, "do_normalize": true, "image_mean": mean, "image_std": std,
		"do_convert_rgb": true, "resample": 3,
	}
	if a.modelType == "clip" { // as our loader does: the middle square, made smaller
		o["size"], o["do_center_crop"] = object{"shortest_edge": v.Image}, true
		o["crop_size"] = object{"height": v.Image, "width": v.Image}
	}
	return o
}
