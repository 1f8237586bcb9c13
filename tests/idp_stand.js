// Stands in for the parts of a Shibboleth Identity Provider that run a mapping script and fill a URLTemplate.
// Reads what is to be done from the file it is given, and prints what came of it: see idp_stand.py.
(function (path) {
    var read = function (name) {
        return String(new java.lang.String(java.nio.file.Files.readAllBytes(java.nio.file.Paths.get(name)), "UTF-8"));
    };
    var asked = JSON.parse(read(path));

    // As strict as the real ones: null and "" are refused, and only collections are taken
    function StringAttributeValue(value) {
        if (value === null || value === undefined || String(value).length === 0) {
            throw new java.lang.IllegalArgumentException("value is null or empty");
        }
        this.value = String(value);
    }
    function IdPAttribute(id) {
        this.id = String(id);
    }
    IdPAttribute.prototype.setValues = function (values) {
        if (!(values instanceof java.util.Collection)) {
            throw new java.lang.IllegalArgumentException("not a collection");
        }
        this.values = values;
    };

    function mapped(script, body) {
        var warnings = [], results = new java.util.ArrayList(), closed = false, values = [], i;
        var stream = body === null ? null : new java.io.ByteArrayInputStream(java.util.Base64.getDecoder().decode(body));
        var entity = body === null ? null : {getContent: function () { return stream; }};
        var packages = {
            java: Packages.java,
            net: {shibboleth: {idp: {attribute: {
                StringAttributeValue: StringAttributeValue, IdPAttribute: IdPAttribute
            }}}},
            org: {slf4j: {LoggerFactory: {getLogger: function () {
                return {warn: function (text) { warnings.push(String(text)); }};
            }}}}
        };
        try {
            new Function("response", "connectorResults", "Packages", script)(
                {getEntity: function () { return entity; }}, results, packages);
        } catch (error) {
            return {error: String(error.message || error)};
        }
        for (i = 0; i < results.size(); i += 1) {
            values.push([results.get(i).id, [].concat(results.get(i).values.toArray().map(function (each) {
                return each.value;
            }))]);
        }
        return {attributes: values, warnings: warnings};
    }

    function rendered(engine, template, names) {
        var context = new org.apache.velocity.VelocityContext();
        var escapers = com.google.common.net.UrlEscapers;
        var resolution = new java.util.HashMap();
        var writer = new java.io.StringWriter();
        var name, list, i;
        context.put("paramEscaper", escapers.urlFormParameterEscaper());
        context.put("pathEscaper", escapers.urlPathSegmentEscaper());
        context.put("fragmentEscaper", escapers.urlFragmentEscaper());
        for (name in names) {
            if (name === "principal") {
                resolution.put("principal", new java.lang.String(names[name]));
            } else {
                list = new java.util.ArrayList();
                for (i = 0; i < names[name].length; i += 1) {
                    list.add(new java.lang.String(names[name][i]));
                }
                context.put(name, list);
            }
        }
        context.put("resolutionContext", resolution);
        engine.evaluate(context, writer, "template", template);
        return String(writer.toString());
    }

    var engine = new org.apache.velocity.app.VelocityEngine();
    engine.setProperty("runtime.log.logsystem.class", "org.apache.velocity.runtime.log.NullLogChute");
    engine.init();
    print(JSON.stringify({
        mapped: asked.bodies.map(function (body) { return mapped(asked.script, body); }),
        rendered: asked.templates.map(function (each) { return rendered(engine, each[0], each[1]); })
    }));
}(arguments[0]));
