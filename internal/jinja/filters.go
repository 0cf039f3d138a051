package jinja

// filterFunc is a filter: the value before the pipe, and the arguments.
type filterFunc func(s *state, v any, a *args) any

// takesUndefined are the filters that an undefined name may go through: tests
// of attributes look at each item.
var takesUndefined = map[string]bool{"default": true, "d": true}

// filterTable are the filters: those of Jinja2 but for random, which would make
// two attempts of a task differ, and path, which lets "/" in data be a
// separator of a URL's path.
func filterTable() map[string]filterFunc {
	return map[string]filterFunc{
		"abs": absFilter, "attr": attrFilter, "b64encode": b64encodeFilter, "batch": batchFilter, "capitalize": textFilter(capitalize), "center": centerFilter,
		"count": lengthFilter, "d": defaultFilter, "default": defaultFilter, "dictsort": dictsortFilter, "e": escapeFilter,
		"escape": escapeFilter, "filesizeformat": filesizeFilter, "first": firstFilter, "float": floatFilter, "forceescape": forceEscapeFilter,
		"format": formatFilter, "groupby": groupbyFilter, "indent": indentFilter, "int": intFilter, "items": itemsFilter, "join": joinFilter,
		"last": lastFilter, "length": lengthFilter, "list": listFilter, "lower": textFilter(lower), "map": mapFilter,
		"max": extremeFilter(1), "min": extremeFilter(-1), "path": func(s *state, v any, a *args) any { a.bind(s, 0); return v },
		"pprint": pprintFilter, "reject": selectFilter(false, false), "rejectattr": selectFilter(false, true), "replace": replaceFilter,
		"reverse": reverseFilter, "round": roundFilter, "safe": safeFilter, "select": selectFilter(true, false),
		"selectattr": selectFilter(true, true), "slice": sliceFilter, "sort": sortFilter, "string": stringFilter,
		"striptags": striptagsFilter, "sum": sumFilter, "title": textFilter(titleFilter), "tojson": tojsonFilter, "trim": trimFilter,
		"truncate": truncateFilter, "unique": uniqueFilter, "upper": textFilter(upper),
		"urlencode": urlencodeFilter, "urlize": urlizeFilter, "wordcount": wordcountFilter, "wordwrap": wordwrapFilter, "xmlattr": xmlattrFilter,

		// Beyond Jinja2, as people know them from Ansible and Airflow.
		"b64decode": b64decodeFilter, "combine": combineFilter, "dict2items": dict2itemsFilter, "flatten": flattenFilter,
		"from_json": fromJSONFilter, "hash": hashFilter, "hmac_sha256": hmacFilter, "items2dict": items2dictFilter,
		"md5": fixedHashFilter("md5"), "quote": quoteFilter, "regex_findall": regexFindallFilter, "regex_replace": regexReplaceFilter,
		"regex_search": regexSearchFilter, "sha256": fixedHashFilter("sha256"), "strftime": strftimeFilter, "ternary": ternaryFilter, "timezone": timezoneFilter, "to_datetime": toDatetimeFilter, "to_timestamp": toTimestampFilter, "uuid5": uuid5Filter, "zip": zipFilter,
	}
}
