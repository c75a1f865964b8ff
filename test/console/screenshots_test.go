//go:build browser

package console

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"reveille/internal/console/consoletest"
)

// take has the pictures taken anew, into this folder.
var take = flag.String("screenshots", "", "take the pictures of docs/console.md into this folder")

// folder is where the pictures of docs/console.md are.
const folder = "../../docs/screenshots"

// maxPictures bounds all pictures together in bytes.
const maxPictures = 1500 << 10

// A shot is a picture to be taken.
type shot struct {
	name, path, colours string
	width, height       int64
	whole               bool
}

func shots() []shot {
	user := "/console/user?aor=" + consoletest.Alice
	return []shot{
		{"overview", "/console/", "light", 1280, 900, true},
		{"overview-dark", "/console/", "dark", 1280, 900, true},
		{"overview-phone", "/console/", "light", 360, 780, false},
		{"user", user, "light", 1280, 900, true},
		{"user-dark-phone", user, "dark", 360, 780, false},
		{"call-refused", "/console/calls/" + consoletest.FailedID, "light", 1280, 900, true},
		{"call-answered-dark", "/console/calls/" + consoletest.AnsweredID, "dark", 1280, 900, true},
		{"call-late", "/console/calls/" + consoletest.LateID, "light", 1280, 900, true},
		{"waiting", "/console/waiting", "dark", 1280, 480, false},
		{"calls", "/console/calls", "light", 1280, 800, false},
		{"events-dark", "/console/events", "dark", 1280, 720, false},
	}
}

// TestScreenshots takes the pictures, or holds the documentation to those there are.
func TestScreenshots(t *testing.T) {
	if *take == "" {
		checkPictures(t)
		return
	}
	if err := os.MkdirAll(*take, 0o755); err != nil {
		t.Fatal(err)
	}
	b := open(t, serve(t, consoletest.New(consoletest.Noon), consoletest.Noon)).login(consoletest.AdminToken)
	for _, s := range shots() {
		b.look(s.colours, s.width, s.height)
		b.visit(s.path)
		if err := os.WriteFile(filepath.Join(*take, s.name+".png"), reduce(t, b.picture(s.whole)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkPictures: all are there, together they are small, and the documentation shows
// them.
func checkPictures(t *testing.T) {
	doc, err := os.ReadFile("../../docs/console.md")
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	for _, s := range shots() {
		info, err := os.Stat(filepath.Join(folder, s.name+".png"))
		if err != nil {
			t.Errorf("`make screenshots` takes it: %v", err)
			continue
		}
		total += info.Size()
		if !strings.Contains(string(doc), "screenshots/"+s.name+".png") {
			t.Errorf("docs/console.md does not show %s.png", s.name)
		}
	}
	if total > maxPictures {
		t.Errorf("the pictures have %d bytes, more than %d", total, maxPictures)
	}
}

// reduce gives a picture at most 256 colours: those that it has most of.
func reduce(t *testing.T, in []byte) []byte {
	t.Helper()
	from, err := png.Decode(bytes.NewReader(in))
	if err != nil {
		t.Fatal(err)
	}
	size := from.Bounds()
	counts := map[color.Color]int{}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			counts[from.At(x, y)]++
		}
	}
	var palette color.Palette
	for c := range counts {
		palette = append(palette, c)
	}
	slices.SortFunc(palette, func(a, b color.Color) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), cmp.Compare(value(a), value(b)))
	})
	palette = spread(palette)
	to := image.NewPaletted(size, palette)
	nearest := map[color.Color]uint8{}
	for y := size.Min.Y; y < size.Max.Y; y++ {
		for x := size.Min.X; x < size.Max.X; x++ {
			c := from.At(x, y)
			i, ok := nearest[c]
			if !ok {
				i = uint8(palette.Index(c))
				nearest[c] = i
			}
			to.SetColorIndex(x, y, i)
		}
	}
	var out bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&out, to); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// spread keeps the first colours of a palette, and of the rest those that are least like
// the others: a word in a colour of its own has few pixels.
func spread(all color.Palette) color.Palette {
	const common, most = 192, 256
	if len(all) <= most {
		return all
	}
	kept := slices.Clone(all[:common])
	rest := all[common:]
	distances := make([]float64, len(rest))
	for i, c := range rest {
		distances[i] = unlike(c, kept[kept.Index(c)])
	}
	for len(kept) < most {
		far := 0
		for i := range distances {
			if distances[i] > distances[far] {
				far = i
			}
		}
		kept = append(kept, rest[far])
		for i, c := range rest {
			distances[i] = min(distances[i], unlike(c, rest[far]))
		}
	}
	return kept
}

// unlike is how far two colours are apart.
func unlike(a, b color.Color) float64 {
	ar, ag, ab, _ := a.RGBA()
	br, bg, bb, _ := b.RGBA()
	r, g, u := float64(ar)-float64(br), float64(ag)-float64(bg), float64(ab)-float64(bb)
	return r*r + g*g + u*u
}

func value(c color.Color) uint32 {
	r, g, b, _ := c.RGBA()
	return r>>8<<16 | g>>8<<8 | b>>8
}
