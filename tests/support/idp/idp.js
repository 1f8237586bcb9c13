// Stands in for the parts of a Shibboleth Identity Provider that run a mapping script, fill a template, ask a database
// and make an HTTP request. Each line of the input names a file, which says what is to be done; a line is printed of
// what came of it: see engines.py.
(function () {
    var input = new java.io.BufferedReader(new java.io.InputStreamReader(java.lang.System["in"], "UTF-8"));
    var read = function (name) {
        return String(new java.lang.String(java.nio.file.Files.readAllBytes(java.nio.file.Paths.get(name)), "UTF-8"));
    };

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

    // Gives what a script makes of a response of HttpClient 4 or 5; a script that throws is a failed request
    function mapped(script, code, entity, five) {
        var warnings = [], results = new java.util.ArrayList(), values = [], i;
        var packages = {
            java: Packages.java,
            net: {shibboleth: {idp: {attribute: {
                StringAttributeValue: StringAttributeValue, IdPAttribute: IdPAttribute
            }}}},
            org: {slf4j: {LoggerFactory: {getLogger: function () {
                return {warn: function (text) { warnings.push(String(text)); }};
            }}}}
        };
        var response = {getEntity: function () { return entity; }};
        if (five) {
            response.getCode = function () { return code; };
        } else {
            response.getStatusLine = function () { return {getStatusCode: function () { return code; }}; };
        }
        try {
            new Function("response", "connectorResults", "Packages", script)(response, results, packages);
        } catch (error) {
            return {error: String(error.message || error), warnings: warnings};
        }
        for (i = 0; i < results.size(); i += 1) {
            values.push([results.get(i).id, results.get(i).values.toArray().map(function (each) {
                return each.value;
            })]);
        }
        return {attributes: values, warnings: warnings};
    }

    function entityOf(body) {
        var stream = body === null ? null : new java.io.ByteArrayInputStream(java.util.Base64.getDecoder().decode(body));
        return body === null ? null : {getContent: function () { return stream; }};
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

    // A value as a template meets it: a string, a pair for a scoped one (since version 4), or one that is none
    function valueOf(known) {
        if (known === null) {
            return java.lang.Thread.State.NEW;
        }
        if (typeof known === "string") {
            return new java.lang.String(known);
        }
        return new Packages.Pair(new java.lang.String(known[0]), new java.lang.String(known[1]));
    }

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
                    list.add(valueOf(names[name][i]));
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
        // Whatever else a template holds becomes a question mark
        template = String(new java.lang.String(new java.lang.String(template).getBytes("US-ASCII"), "US-ASCII"));
        engine.evaluate(context, writer, "template", template);
        return String(writer.toString());
    }

    // The beans of the Identity Provider that ours build upon, and properties as it reads them: %{name:default}
    var FACTORY = {
        "3.4": "",
        "4": '<bean id="shibboleth.HttpClientFactory" abstract="true"'
            + ' class="net.shibboleth.idp.profile.spring.relyingparty.metadata.HttpClientFactoryBean"/>',
        "5": '<bean id="shibboleth.HttpClientFactory" abstract="true"'
            + ' class="net.shibboleth.spring.http.HttpClientFactoryBean"/>'
    };
    var PARENTS = '<beans xmlns="http://www.springframework.org/schema/beans"'
        + ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="'
        + 'http://www.springframework.org/schema/beans http://www.springframework.org/schema/beans/spring-beans.xsd">'
        + 'FACTORY<bean id="shibboleth.SecurityEnhancedTLSSocketFactory" class="java.lang.Object" lazy-init="true"/>'
        + '<bean class="org.springframework.context.support.PropertySourcesPlaceholderConfigurer">'
        + '<property name="placeholderPrefix" value="%{"/><property name="properties"><props>PROPERTIES</props></property>'
        + '</bean></beans>';

    function beans(text, properties, version, more) {
        var context = new org.springframework.context.support.GenericApplicationContext();
        var reader = new org.springframework.beans.factory.xml.XmlBeanDefinitionReader(context);
        var props = Object.keys(properties).map(function (name) {
            return '<prop key="' + name + '"><![CDATA[' + properties[name] + ']]></prop>';
        });
        var parents = PARENTS.replace("FACTORY", function () { return FACTORY[version]; })
            .replace("PROPERTIES", function () { return props.join(""); });
        [parents, text].filter(Boolean).forEach(function (each) {
            var resource = new org.springframework.core.io.ByteArrayResource(new java.lang.String(each).getBytes("UTF-8"));
            reader["loadBeanDefinitions(org.springframework.core.io.Resource)"](resource);
        });
        (more || []).forEach(function (value, place) { context.registerBeanDefinition("value-" + place, value); });
        context.refresh();
        return context;
    }

    // The values of attributes of a resolver's file, as its parser leaves them to Spring
    function evaluated(text, properties, version, values) {
        var context = beans(text, properties, version, values.map(function (value) {
            var definition = new org.springframework.beans.factory.support.GenericBeanDefinition();
            definition.setBeanClassName("java.util.concurrent.atomic.AtomicReference");
            definition.getConstructorArgumentValues().addGenericArgumentValue(new java.lang.String(value));
            return definition;
        }));
        return values.map(function (_, place) { return String(context.getBean("value-" + place).get()); });
    }

    // How the client of ours is made; its class is the Identity Provider's own, so nothing is made of it here
    function client(text, properties, version) {
        var made = beans(text, properties, version).getBeanFactory().getMergedBeanDefinition("orcid-connect.HttpClient");
        var said = {"class": String(made.getBeanClassName())}, list = made.getPropertyValues().getPropertyValues(), i, value;
        for (i = 0; i < list.length; i += 1) {
            value = list[i].getValue();
            said[list[i].getName()] = String(value.getBeanName ? value.getBeanName() : value);
        }
        return said;
    }

    // As strict as the real one: a header without a value keeps the resolver from loading
    function headers(text, properties, version) {
        var map = beans(text, properties, version).getBean("orcid-connect.Headers"), found = {}, each;
        for (each = map.entrySet().iterator(); each.hasNext();) {
            var entry = each.next();
            found[entry.getKey()] = String(entry.getValue()).trim();
            if (found[entry.getKey()] === "") {
                throw new Error("header value must be non null");
            }
        }
        return found;
    }

    function queried(source, query, timeout) {
        var connection = null, statement, result, rows = [], began = java.lang.System.nanoTime(), done;
        try {
            connection = source.getConnection();
            statement = connection.createStatement();
            statement.setQueryTimeout(timeout);
            result = statement.executeQuery(query);
            while (result.next()) {
                rows.push([String(result.getMetaData().getColumnLabel(1)), String(result.getString(1))]);
            }
            done = {rows: rows};
        } catch (error) {
            done = {error: String(error.message)};
        } finally {
            if (connection !== null) {
                connection.close();
            }
        }
        done.seconds = (java.lang.System.nanoTime() - began) / 1e9;
        return done;
    }

    // Five logins at one moment, so that the pool keeps as many connections as it ever does
    function crowded(source) {
        var taken = [];
        try {
            while (taken.length < 5) {
                taken.push(source.getConnection());
            }
        } catch (ignored) {
            // The database is away
        }
        taken.forEach(function (each) { each.close(); });
    }

    // What is printed before queries wait for a line of the one who asked them
    function queriesOf(asked) {
        var source = beans(asked.beans, asked.properties, asked.version).getBean("orcid-connect.DataSource");
        var found = asked.queries.map(function (query) {
            if (query === null) {
                crowded(source);
                print("paused");
                input.readLine();
                return null;
            }
            return queried(source, query, asked.timeout);
        });
        source.close();
        return found;
    }

    // --- One HTTP request after another, by one client: as Apache HttpClient and the trust engine of OpenSAML behave

    function connected(target, settings, authority) {
        var socket = new java.net.Socket(), context, keys, managers, stream;
        socket.connect(new java.net.InetSocketAddress(target.getHost(), target.getPort()), settings.connect);
        socket.setSoTimeout(settings.packet);
        if (String(target.getScheme()) === "https") {
            keys = java.security.KeyStore.getInstance(java.security.KeyStore.getDefaultType());
            keys.load(null, null);
            stream = new java.io.FileInputStream(authority);
            keys.setCertificateEntry("ca",
                java.security.cert.CertificateFactory.getInstance("X.509").generateCertificate(stream));
            managers = javax.net.ssl.TrustManagerFactory.getInstance("PKIX");
            managers["init(java.security.KeyStore)"](keys);
            context = javax.net.ssl.SSLContext.getInstance("TLS");
            context.init(null, managers.getTrustManagers(), null);
            socket = context.getSocketFactory().createSocket(socket, target.getHost(), target.getPort(), true);
            socket.startHandshake();
        }
        return socket;
    }

    function line(input) {
        var octet, text = "";
        for (octet = input.read(); octet !== 10; octet = input.read()) {
            if (octet === -1) {
                throw new Error("the server hung up");
            }
            text += String.fromCharCode(octet);
        }
        return text.replace(/\r$/, "");
    }

    // To close it is to read the rest, so that the connection can be used again
    function body(input, length) {
        var left = length;
        function read(buffer, offset, most) {
            var count;
            if (left === 0) {
                return -1;
            }
            count = input.read(buffer, offset, Math.min(most, left));
            left = count === -1 ? 0 : left - count;
            return count;
        }
        return new JavaAdapter(java.io.InputStream, {
            read: function (buffer, offset, most) {
                var one;
                if (arguments.length > 0) {
                    return read(buffer, offset, most);
                }
                one = java.lang.reflect.Array.newInstance(java.lang.Byte.TYPE, 1);
                return read(one, 0, 1) === -1 ? -1 : one[0] & 255;
            },
            close: function () {
                var rest = java.lang.reflect.Array.newInstance(java.lang.Byte.TYPE, 4096);
                while (read(rest, 0, 4096) !== -1) {
                    continue;
                }
            }
        });
    }

    function answered(socket, target, headersSent) {
        var output = socket.getOutputStream(), input = socket.getInputStream(), each, text, found = {};
        text = "GET " + target.getRawPath() + "?" + target.getRawQuery() + " HTTP/1.1\r\nHost: " + target.getHost() + "\r\n";
        for (each in headersSent) {
            text += each + ": " + headersSent[each] + "\r\n";
        }
        output.write(new java.lang.String(text + "\r\n").getBytes("US-ASCII"));
        output.flush();
        found.code = Number(line(input).split(" ")[1]);
        for (each = line(input); each !== ""; each = line(input)) {
            found[each.split(": ")[0].toLowerCase()] = each.split(": ")[1];
        }
        found.body = body(input, Number(found["content-length"]));
        return found;
    }

    function refused(answer, asked) {
        if (asked.accepts.statuses.indexOf(String(answer.code)) === -1) {
            return "HTTP status unknown or unacceptable";
        }
        if (asked.accepts.types.indexOf(answer["content-type"].split(";")[0]) === -1) {
            return "Content-Type unknown or unacceptable";
        }
        return Number(answer["content-length"]) > asked.accepts.length ? "Content-Length exceeded acceptable limits" : null;
    }

    function lookUps(asked) {
        var made = client(asked.beans, asked.properties, asked.version);
        var sent = headers(asked.beans, asked.properties, asked.version), kept = null;
        var milliseconds = function (text) { return java.time.Duration.parse(text).toMillis(); };
        var settings = {connect: milliseconds(made.connectionTimeout), packet: milliseconds(made.socketTimeout)};
        var evaluates = made.tLSSocketFactory !== undefined, closes = made.connectionCloseAfterResponse !== "false";
        var found = asked.urls.map(function (url) {
            var target = new java.net.URI(url), began = java.lang.System.nanoTime(), reused = kept !== null;
            var socket = null, answer, done, why;
            try {
                socket = kept || connected(target, settings, asked.authority);
                kept = null;
                answer = answered(socket, target, sent);
                why = refused(answer, asked);
                done = why ? {error: why, warnings: []}
                    : mapped(asked.script, answer.code, {getContent: function () { return answer.body; }}, asked.version === "5");
                if (!done.error && !closes) {
                    kept = socket;
                }
                if (!done.error && reused && evaluates) {
                    done = {error: "Evaluation of server TLS credential with configured TrustEngine was not performed"};
                }
            } catch (error) {
                done = {error: String(error.message || error)};
            }
            done.seconds = (java.lang.System.nanoTime() - began) / 1e9;
            if (socket !== null && kept === null) {
                socket.close();
            }
            return done;
        });
        if (kept !== null) {
            kept.close();
        }
        return found;
    }

    var engine = new org.apache.velocity.app.VelocityEngine();
    engine.setProperty("runtime.log.logsystem.class", "org.apache.velocity.runtime.log.NullLogChute");
    engine.init();

    function ran(asked) {
        java.util.Locale.setDefault(new java.util.Locale(asked.locale));
        return {
            mapped: asked.bodies.map(function (each) { return mapped(asked.script, each[0], entityOf(each[1]), each[2]); }),
            rendered: asked.templates.map(function (each) { return rendered(engine, each[0], each[1], asked.kind); }),
            headers: asked.headers ? headers(asked.beans, asked.properties, asked.version) : null,
            client: asked.client ? client(asked.beans, asked.properties, asked.version) : null,
            evaluated: asked.values.length ? evaluated(asked.beans, asked.properties, asked.version, asked.values) : [],
            queried: asked.queries.length ? queriesOf(asked) : [],
            looked_up: asked.urls.length ? lookUps(asked) : []
        };
    }

    var path;
    for (path = input.readLine(); path !== null; path = input.readLine()) {
        print(JSON.stringify(ran(JSON.parse(read(String(path))))));
    }
}());
