// What the connector answers, {"eduPersonOrcid": ["https://@ORCID_HOST@/..."]}, becomes the attribute eduPersonOrcid.
//
// Goes to conf/orcid-connect/mapping.js. One file for Shibboleth IdP 3.4, 4 and 5: plain ECMAScript 5, which Nashorn and
// Rhino both read, and no class of the Identity Provider but those two that have the same name in each version.
//
// A person without an iD gets no attribute, which is no error. Nor does one whose account the connector cannot read: it
// says why, and the log has it as a warning. An answer that is none throws: the login goes on without the iD, the log has
// a warning, and the failure is not kept in the ResultCache.
(function (response, results) {
    var ATTRIBUTE = "eduPersonOrcid";
    var ORCID_ID = /^https:\/\/@ORCID_HOST_PATTERN@\/[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$/;
    var MOST_CHARACTERS = 65536;
    var MOST_VALUES = 10;
    var MOST_BRACKETS = 100;
    // In here and not outside: a class in a global variable becomes something else in Rhino
    var java = Packages.java;
    var idp = Packages.net.shibboleth.idp.attribute;

    function text(entity) {
        var reader, read, written = new java.lang.StringBuilder();
        if (entity === null) {
            throw new Error("orcid-connect: the answer is empty");
        }
        reader = new java.io.BufferedReader(new java.io.InputStreamReader(entity.getContent(), "UTF-8"));
        try {
            for (read = reader.read(); read !== -1; read = reader.read()) {
                if (written.length() >= MOST_CHARACTERS) {
                    throw new Error("orcid-connect: the answer is too long");
                }
                written.appendCodePoint(read);
            }
        } finally {
            reader.close();
        }
        return String(written.toString());
    }

    function parsed(json) {
        // An answer has two brackets; thousands, one in another, would be too much for the engine's own stack
        if (json.split(/[\[{]/).length > MOST_BRACKETS) {
            throw new Error("orcid-connect: the answer is too deep");
        }
        return JSON.parse(json);
    }

    function warn(said) {
        var logger = Packages.org.slf4j.LoggerFactory.getLogger("orcid-connect");
        logger.warn("orcidConnect: the connector says: " + said.replace(/[^ -~]/g, "?").substring(0, 200));
    }

    function values(answer) {
        var found = [], listed, i;
        if (answer === null || typeof answer !== "object") {
            throw new Error("orcid-connect: the answer is no object");
        }
        if (typeof answer.error === "string") {
            warn(answer.error);
            return found;
        }
        listed = answer[ATTRIBUTE];
        if (Object.prototype.toString.call(listed) !== "[object Array]") {
            throw new Error("orcid-connect: the answer has no list of iDs");
        }
        for (i = 0; i < listed.length && found.length < MOST_VALUES; i += 1) {
            if (typeof listed[i] === "string" && ORCID_ID.test(listed[i]) && found.indexOf(listed[i]) === -1) {
                found.push(listed[i]);
            }
        }
        return found;
    }

    var found = values(parsed(text(response.getEntity()))), list, attribute, i;
    if (found.length > 0) {
        list = new java.util.ArrayList();
        for (i = 0; i < found.length; i += 1) {
            list.add(new idp.StringAttributeValue(found[i]));
        }
        attribute = new idp.IdPAttribute(ATTRIBUTE);
        attribute.setValues(list);
        results.add(attribute);
    }
}(response, connectorResults));
