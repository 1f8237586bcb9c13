<?php
// How a service behind SimpleSAMLphp takes in eduPersonOrcid.
//
// Copy the two filters into 'authproc' of your service in config/authsources.php. The first gives attributes their
// names (eduPersonOrcid is in SimpleSAMLphp's own oid2name); the second drops what is no well-formed ORCID iD.
return [
    10 => ['class' => 'core:AttributeMap', 'oid2name'],
    20 => [
        'class' => 'core:AttributeAlter',
        'subject' => 'eduPersonOrcid',
        'pattern' => '~^(?!https://@ORCID_HOST_PATTERN@/[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{3}[0-9X]$).*$~sD',
        '%remove',
    ],
];
