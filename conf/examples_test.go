package conf

import (
	"encoding/base64"
	"strings"
	"testing"
)

// The examples are configurations without fault or warning, once their files
// are there.
func TestExamplesLoad(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"fullchain", "other.example", "ca"} {
		writeCert(t, dir, name, "", 2036)
	}
	writeFile(t, dir, "peers.key", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	samples(t, "../examples/*.toml", func(t *testing.T, path, src string) {
		src = strings.ReplaceAll(src, "/etc/imaplb/privkey.pem", "/etc/imaplb/fullchain.key")
		c, err := loadIn(dir, "example.toml", strings.ReplaceAll(src, "/etc/imaplb/", dir+"/"))
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Warnings) > 0 {
			t.Errorf("warnings:\n%s", c.Warnings.Error())
		}
	})
}
