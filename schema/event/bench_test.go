package event

import (
	"fmt"
	"strings"
	"testing"
)

// row returns a row of about size bytes.
func row(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"versionnumber":8734651`)
	for i := 0; b.Len() < size-30; i++ {
		fmt.Fprintf(&b, `,"column%02d":"a value of it"`, i)
	}
	b.WriteString("}")
	return []byte(b.String())
}

func BenchmarkEncode(b *testing.B) {
	for _, mode := range []Mode{Structured, Binary} {
		for _, size := range []int{400, 2048} {
			b.Run(fmt.Sprintf("%s/%dB", mode, size), func(b *testing.B) {
				s := settings()
				s.Mode = mode
				e := mustEncoder(b, s)
				r := updated()
				r.Row = row(size)
				b.ReportAllocs()
				b.SetBytes(int64(len(r.Row)))
				for b.Loop() {
					if _, _, err := e.Encode(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkReadHeader(b *testing.B) {
	header, _ := encode(b, settings(), updated())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadHeader(header); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadData(b *testing.B) {
	r := updated()
	r.Row = row(400)
	header, data := encode(b, settings(), r)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ReadData(header, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	for _, mode := range []Mode{Structured, Binary} {
		b.Run(string(mode), func(b *testing.B) {
			s := settings()
			s.Mode = mode
			r := updated()
			r.Row = row(400)
			header, data := encode(b, s, r)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Unmarshal(header, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
