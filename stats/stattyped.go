package stats

import "fmt"

// objTypes are the names JSON has for the kinds.
var objTypes = map[Kind]string{KindFrontend: "Frontend", KindBackend: "Backend", KindServer: "Server"}

// appendTyped appends a line per field: object, position, name, tags, value.
func appendTyped(dst []byte, l *line, f format) []byte {
	l.eachField(func(pos int, col *column, v value) {
		dst = fmt.Appendf(dst, "%c.%d.%d.%d.%s.1:%s:%s:%s%s\n", kindLetters[l.kind], l.proxy.ID, l.row.ID,
			pos, col.name, typedTags(col.tags), v.kind, v, f.describe(col.desc))
	})
	return dst
}

// appendJSON appends the fields as an array of objects.
func appendJSON(dst []byte, l *line) []byte {
	sep := '['
	l.eachField(func(pos int, col *column, v value) {
		dst = fmt.Appendf(dst, `%c{"objType":"%s","proxyId":%d,"id":%d,"field":{"pos":%d,"name":"%s"},"processNum":1,%s,"value":{"type":"%s","value":%s}}`,
			sep, objTypes[l.kind], l.proxy.ID, l.row.ID, pos, col.name, jsonTags(col.tags), v.kind, v.json())
		sep = ','
	})
	return append(dst, ']')
}
