<?php

declare(strict_types=1);

namespace SimpleSAML\Module\orcidconnect\Auth\Process;

use SimpleSAML\Auth\ProcessingFilter;
use SimpleSAML\Logger;

/**
 * Adds eduPersonOrcid to a sign-in, requested from the connector of ORCID connect.
 *
 * If the request fails, the sign-in continues with all other attributes, and the log has the reason.
 * Runs in SimpleSAMLphp 1.19 (lib/Auth/Process/) and 2 (src/Auth/Process/).
 */
class OrcidConnect extends ProcessingFilter
{
    private const PATTERN = '#^https://(sandbox\.)?orcid\.org/([0-9]{4}-){3}[0-9]{3}[0-9X]$#D';
    private const MAX_BYTES = 65536;

    private array $options;

    public function __construct(&$config, $reserved)
    {
        parent::__construct($config, $reserved);
        // Options are checked where they are used: an exception here would stop every sign-in
        $this->options = $config;
    }

    // Version 2 declares a type for this parameter, 1.19 does not: without one it is compatible with both
    public function process(&$request): void
    {
        try {
            $person = $this->option('person', 'eduPersonPrincipalName');
            // Equal values are one; different values identify no account
            $accounts = [];
            foreach (array_filter($request['Attributes'][$person] ?? [], 'is_string') as $value) {
                $accounts[self::folded($value)] ??= $value;
            }
            if (count($accounts) !== 1 || array_key_first($accounts) === '') {
                Logger::debug("orcidconnect: $person has not exactly one value");
                return;
            }
            $found = $this->request(reset($accounts));
            if ($found !== []) {
                $request['Attributes'][$this->option('target', 'eduPersonOrcid')] = $found;
            }
        } catch (\Throwable $error) {
            // Without the URL, which contains the account
            Logger::warning('orcidconnect: the request failed: ' . $error->getMessage());
        }
    }

    /** @return string[] */
    private function request(string $account): array
    {
        $url = rtrim($this->option('url'), '/') . '/v1/people/' . rawurlencode($account);
        $token = @file_get_contents($this->option('tokenFile'));
        if ($token === false || trim($token) === '') {
            throw new \RuntimeException('the token file cannot be read or is empty');
        }
        $timeout = $this->options['timeout'] ?? 3;
        if (!is_numeric($timeout) || $timeout <= 0) {
            throw new \RuntimeException('the option timeout is not a number of seconds');
        }
        $context = stream_context_create(['http' => [
            'header' => ['Authorization: Bearer ' . trim($token), 'Accept: application/json', 'Connection: close'],
            'timeout' => (float) $timeout,
            'follow_location' => 0,
            'ignore_errors' => true,
            'protocol_version' => 1.1,
        ]]);
        $end = microtime(true) + $timeout;
        $stream = @fopen($url, 'r', false, $context);
        if ($stream === false) {
            throw new \RuntimeException('no answer');
        }
        try {
            $status = (int) substr($http_response_header[0] ?? '', 9, 3);
            if ($status !== 200) {
                throw new \RuntimeException("status $status");
            }
            $body = self::read($stream, $end);
        } finally {
            fclose($stream);
        }
        $answer = json_decode($body, true, 8, JSON_THROW_ON_ERROR);
        $values = is_array($answer) && is_array($answer['eduPersonOrcid'] ?? null) ? $answer['eduPersonOrcid'] : [];
        $orcidIds = array_filter($values, fn($each) => is_string($each) && preg_match(self::PATTERN, $each));
        return array_values(array_unique($orcidIds));
    }

    /** @param resource $stream */
    private static function read($stream, float $end): string
    {
        $body = '';
        while (!feof($stream) && strlen($body) < self::MAX_BYTES) {
            // The time-out of the context applies to each packet
            $left = $end - microtime(true);
            if ($left <= 0) {
                throw new \RuntimeException('the answer came too slowly');
            }
            stream_set_timeout($stream, 0, (int) ceil($left * 1e6));
            $body .= fread($stream, 8192);
        }
        return $body;
    }

    private function option(string $name, string $default = ''): string
    {
        $value = $this->options[$name] ?? $default;
        if (!is_string($value) || $value === '') {
            throw new \RuntimeException("the option $name is missing or not text");
        }
        return $value;
    }

    private static function folded(string $account): string
    {
        $account = trim($account, " \t\r\n");
        $normalized = class_exists('Normalizer') ? \Normalizer::normalize($account, \Normalizer::FORM_D) : $account;
        return mb_convert_case($normalized === false ? $account : $normalized, MB_CASE_FOLD, 'UTF-8');
    }
}
