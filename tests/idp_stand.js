// Stands in for the parts of a Shibboleth Identity Provider that run a mapping script, fill a template and ask a
// database. Reads what is to be done from the file it is given, and prints what came of it: see idp_stand.py.
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
        var warnings = [], results = new java.util.ArrayList(), values = [], i;
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
            values.push([results.get(i).id, results.get(i).values.toArray().map(function (each) {
                return each.value;
            })]);
        }
        return {attributes: values, warnings: warnings};
    }

    // What is put into a query is escaped by the Identity Provider, reference by reference; into an address nothing is
    var ESCAPERS = {
        url: null,
        sql: function (text) { return text.replace(/'/g, "''"); },
        ldap: function (text) {
            return text.replace(/[\\*()\0]/g, function (each) {
                return "\\" + ("0" + each.charCodeAt(0).toString(16)).slice(-2);
            });
        }
    };

    function rendered(engine, template, names, kind) {
        var context = new org.apache.velocity.VelocityContext();
        var escapers = com.google.common.net.UrlEscapers;
        var resolution = new java.util.HashMap();
        var writer = new java.io.StringWriter();
        var name, list, i, cartridge;
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
        if (ESCAPERS[kind]) {
            cartridge = new org.apache.velocity.app.event.EventCartridge();
            cartridge.addEventHandler(new org.apache.velocity.app.event.ReferenceInsertionEventHandler({
                referenceInsert: function (reference, value) {
                    return value === null ? null : new java.lang.String(ESCAPERS[kind](String(value)));
                }
            }));
            cartridge.attachToContext(context);
        }
        engine.evaluate(context, writer, "template", template);
        return String(writer.toString());
    }

    // The beans of the Identity Provider that ours build upon, and properties as it reads them: %{name:default}
    var PARENTS = '<beans xmlns="http://www.springframework.org/schema/beans"'
        + ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="'
        + 'http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd">'
        + '<bean id="shibboleth.HttpClientFactory" abstract="true"/>'
        + '<bean id="shibboleth.SecurityEnhancedTLSSocketFactory" class="java.lang.Object"/>'
        + '<bean class="org.springframework.context.support.PropertySourcesPlaceholderConfigurer">'
        + '<property name="placeholderPrefix" value="%{"/><property name="properties"><props>PROPERTIES</props></property>'
        + '</bean></beans>';

    function beans(text, properties) {
        var context = new org.springframework.context.support.GenericApplicationContext();
        var reader = new org.springframework.beans.factory.xml.XmlBeanDefinitionReader(context);
        var props = Object.keys(properties).map(function (name) {
            return '<prop key="' + name + '"><![CDATA[' + properties[name] + ']]></prop>';
        });
        [PARENTS.replace("PROPERTIES", function () { return props.join(""); }), text].forEach(function (each) {
            var resource = new org.springframework.core.io.ByteArrayResource(new java.lang.String(each).getBytes("UTF-8"));
            reader["loadBeanDefinitions(org.springframework.core.io.Resource)"](resource);
        });
        context.refresh();
        return context;
    }

    function headers(text, properties) {
        var map = beans(text, properties).getBean("orcid-connect.Headers"), found = {}, each;
        for (each = map.entrySet().iterator(); each.hasNext();) {
            var entry = each.next();
            found[entry.getKey()] = String(entry.getValue());
        }
        return found;
    }

    function queried(text, properties, queries) {
        var source = beans(text, properties).getBean("orcid-connect.DataSource");
        return queries.map(function (query) {
            var connection, result, meta, rows = [];
            try {
                connection = source.getConnection();
            } catch (error) {
                return {error: String(error.message)};
            }
            try {
                result = connection.createStatement().executeQuery(query);
                meta = result.getMetaData();
                while (result.next()) {
                    rows.push([String(meta.getColumnLabel(1)), String(result.getString(1))]);
                }
                return {rows: rows};
            } catch (error) {
                return {error: String(error.message)};
            } finally {
                connection.close();
            }
        });
    }

    var engine = new org.apache.velocity.app.VelocityEngine();
    engine.setProperty("runtime.log.logsystem.class", "org.apache.velocity.runtime.log.NullLogChute");
    engine.init();
    print(JSON.stringify({
        mapped: asked.bodies.map(function (body) { return mapped(asked.script, body); }),
        rendered: asked.templates.map(function (each) { return rendered(engine, each[0], each[1], asked.kind); }),
        headers: asked.headers ? headers(asked.beans, asked.properties) : null,
        queried: asked.queries.length ? queried(asked.beans, asked.properties, asked.queries) : []
    }));
}(arguments[0]));
